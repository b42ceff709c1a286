/**
 * For the page: an event's chunks are shown together with its position, or not at all.
 *
 * A connection may break between a chunk and the `data-streamProgress` behind it; who then resumes at the last
 * position gets that chunk again, and a word stands twice. So chunks wait for their position, which was
 * sent in the same breath. One is handed out at a time: an error that comes later takes nothing back.
 */

/** A UI message stream by whole events; what waits when it ends follows, what waits when it breaks does not. */
export function wholeEvents<C extends { type: string }>(stream: ReadableStream<C>): ReadableStream<C> {
  const chunks = inWholes(stream);
  return new ReadableStream<C>(
    {
      async pull(controller) {
        const { value, done } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await chunks.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}

async function* inWholes<C extends { type: string }>(stream: ReadableStream<C>): AsyncGenerator<C, undefined> {
  const reader = stream.getReader(); // not every browser iterates streams
  let waiting: C[] = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      waiting.push(value);
      if (value.type !== "data-streamProgress") continue;
      yield* waiting;
      waiting = [];
    }
    yield* waiting;
  } finally {
    await reader.cancel().catch(() => {});
  }
}
