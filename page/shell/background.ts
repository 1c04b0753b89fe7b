/** How long the tab was in the background while something ran; and that it is not frozen meanwhile. */

export interface Watched {
  /** Milliseconds in the background since `watch`. */
  hiddenMs(): number;
  end(): void;
}

/** A page that holds a lock is not frozen by browsers that heed it; where there are no locks, nothing is lost but that. */
export function watchBackground(): Watched {
  let hidden = 0;
  let since = document.hidden ? performance.now() : undefined;
  const onChange = (): void => {
    if (document.hidden) since ??= performance.now();
    else if (since !== undefined) {
      hidden += performance.now() - since;
      since = undefined;
    }
  };
  document.addEventListener("visibilitychange", onChange);
  let release = (): void => {};
  const held = new Promise<void>((done) => {
    release = done;
  });
  void navigator.locks?.request(`gureum ${Math.random()}`, () => held);
  return {
    hiddenMs: () => hidden + (since === undefined ? 0 : performance.now() - since),
    end() {
      document.removeEventListener("visibilitychange", onChange);
      release();
    },
  };
}
