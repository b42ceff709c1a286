// A chat without a framework: AbstractChat of the AI SDK over a plain state, as its own packages do it.

import * as ai from "ai";

class State {
  status = "ready";
  error = undefined;

  constructor(messages) {
    this.messages = messages;
  }
  pushMessage = (message) => {
    this.messages = [...this.messages, message];
  };
  popMessage = () => {
    this.messages = this.messages.slice(0, -1);
  };
  replaceMessage = (place, message) => {
    this.messages = this.messages.with(place, structuredClone(message));
  };
  snapshot = (value) => structuredClone(value);
}

class Chat extends ai.AbstractChat {
  constructor({ messages = [], ...init }) {
    super({ ...init, state: new State(messages) });
  }
}

/** A chat. With `resume` it goes on with what runs. */
export async function open({ resume = false, ...init }) {
  const chat = new Chat(init);
  if (resume) void chat.resumeStream();
  return chat;
}

/** Nothing to take down. */
export async function close() {}
