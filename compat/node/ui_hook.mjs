// The useChat hook of @ai-sdk/react, rendered by React into jsdom; looks like a chat to its user.

import { JSDOM } from "jsdom";

const { window } = new JSDOM('<div id="root"></div>', { url: "http://127.0.0.1/" });
Object.assign(globalThis, { window, document: window.document, IS_REACT_ACT_ENVIRONMENT: false });

const { createElement } = await import("react");
const { createRoot } = await import("react-dom/client");
const { useChat } = await import("@ai-sdk/react");

const roots = new Map();

/** Mounts a component that uses the hook; what it returns always answers with the newest render. */
export async function open(init) {
  let newest;
  let rendered = "";
  let mounted;
  const first = new Promise((done) => (mounted = done));
  function Page() {
    newest = useChat(init);
    rendered = newest.messages.flatMap(({ parts }) => parts.map(({ text }) => text ?? "")).join("");
    mounted();
    return createElement("p", null, rendered);
  }
  const box = window.document.createElement("div");
  window.document.body.append(box);
  const root = createRoot(box);
  root.render(createElement(Page));
  await first;
  const chat = new Proxy({}, { get: (_, name) => (name === "page" ? box.textContent : newest[name]) });
  roots.set(chat, root);
  return chat;
}

/** Unmounts it, as a page that is left. */
export async function close(chat) {
  roots.get(chat).unmount();
}
