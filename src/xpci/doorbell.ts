/** Turns any number of wake-ups into one: whoever waits looks once at everything that happened meanwhile. */
export class Doorbell {
  #rung = false;
  #waiter: (() => void) | null = null;

  readonly ring = (): void => {
    this.#rung = true;
    this.#waiter?.();
  };

  /** Resolves when the bell has been rung since the last call, or after `timeout` milliseconds. One caller at a time. */
  async wait(timeout = Infinity): Promise<void> {
    if (!this.#rung) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#waiter = resolve;
        if (timeout !== Infinity) timer = setTimeout(resolve, timeout);
      });
      this.#waiter = null;
      clearTimeout(timer);
    }
    this.#rung = false;
  }
}
