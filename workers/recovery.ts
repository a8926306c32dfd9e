/** Milliseconds until a function that came out of D3hot may be touched (PCI Power Management 1.2, 5.4.1). */
const d3hotRecovery = 10;

/**
 * Waits until a function that forgot its registers may be touched. A guest can send its function to D3hot and back as often as it
 * likes: there is one timer, which begins anew each time.
 */
export class Recovery {
  readonly #restore: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(restore: () => void) {
    this.#restore = restore;
  }

  begin(): void {
    if (this.#timer) this.#timer.refresh();
    else this.#timer = setTimeout(this.#restore, d3hotRecovery);
  }

  /** Restores nothing any more, unless it begins again. */
  cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
