/** What an engine with several threads needs of its host; core/host has it for Node and Deno, and for pages and web workers. */

/** A thread of the host's, running a program. */
export interface HostWorker {
  /** Sends it something. */
  post(message: unknown): void;
  /** Ends it. */
  terminate(): void;
}

/** How a host starts threads. */
export interface HostThreads {
  /** Cores that compute at the same time. */
  readonly cores: number;
  /**
   * Starts a worker. `program` is the text of a JavaScript function of a port, { listen(listener) }, which the worker calls; `onDeath`
   * hears, once, that the worker ended by itself, and why. A worker keeps no process alive.
   */
  start(program: string, onDeath: (reason: string) => void): HostWorker;
}
