/** A guest's front-end: Linux's pcifront and mini-os's alike give their device up for good when they see a back-end that closes. */
import { XenbusState } from '../../../src/xenbus/index.ts';
import type { Nodes } from './nodes.ts';

const { Initialising, Initialised, Connected, Closing, Closed } = XenbusState;

/** An HVM guest has none. */
export type FrontendKind = 'eager' | 'none';

export class Frontend {
  readonly #nodes: Nodes;
  readonly #backend: string;
  readonly #directory: string;
  readonly #kind: FrontendKind;
  /** It has seen a back-end that closes. */
  hasGivenUp = false;

  constructor(nodes: Nodes, backend: string, directory: string, kind: FrontendKind) {
    this.#nodes = nodes;
    this.#backend = backend;
    this.#directory = directory;
    this.#kind = kind;
  }

  get state(): number {
    return this.#nodes.state(this.#directory);
  }

  steps(): Record<string, () => void> {
    if (this.#kind === 'none') return {};
    const back = this.#nodes.state(this.#backend);
    if (this.state === Initialising) return { 'front-end publishes': () => this.#publish() };
    const isUp = this.state === Initialised || this.state === Connected;
    if (isUp && (back === Closing || back === Closed)) return { 'front-end gives up': () => this.#giveUp() };
    if (this.state === Initialised && back === Connected)
      return { 'front-end connects': () => this.#say(Connected) };
    return {};
  }

  #say(state: number): void {
    this.#nodes.write(`${this.#directory}/state`, state);
  }

  #publish(): void {
    for (const [key, value] of [
      ['pci-op-ref', '8'],
      ['event-channel', '9'],
      ['magic', '7'],
    ])
      this.#nodes.write(`${this.#directory}/${key}`, value ?? '');
    this.#say(Initialised);
  }

  #giveUp(): void {
    this.hasGivenUp = true;
    this.#say(Closed);
  }
}
