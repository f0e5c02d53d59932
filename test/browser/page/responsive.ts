/** How long the page's thread was not to be had. */

export interface Watch {
  /** The longest such time since the last call, in ms; a browser lets a timer wait for 4 ms at least. */
  longest(): number;
  stop(): void;
}

export function watchThread(): Watch {
  let before = performance.now();
  let longest = 0;
  const look = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - before);
    before = now;
  };
  const timer = setInterval(look, 0);
  return {
    longest() {
      look();
      const found = longest;
      longest = 0;
      return found;
    },
    stop: () => clearInterval(timer),
  };
}
