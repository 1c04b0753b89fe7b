/** Lets messages in between two pieces of work: a promise alone does not, and a page's timer waits for milliseconds. */
type Soon = (then: () => void) => void;

/** A message to oneself, where the host has nothing shorter. */
function byMessage(): Soon {
  const { port1, port2 } = new MessageChannel();
  const waiting: (() => void)[] = [];
  (port1 as unknown as { onmessage: () => void }).onmessage = () => waiting.shift()?.();
  return (then) => {
    waiting.push(then);
    port2.postMessage(null);
  };
}

const soon: Soon = (globalThis as { setImmediate?: Soon }).setImmediate ?? byMessage();

export const breathe = (): Promise<void> => new Promise((done) => soon(done));
