/** Where a demonstration is shown: a terminal, or nowhere when only its result is wanted. */
export interface Stage {
  heading(text: string): void;
  line(text?: string): void;
  /** Something less important: a state change, a detail. */
  aside(text: string): void;
  table(columns: readonly string[], rows: readonly (readonly string[])[]): void;
}

export const silentStage: Stage = {
  heading: () => undefined,
  line: () => undefined,
  aside: () => undefined,
  table: () => undefined,
};
