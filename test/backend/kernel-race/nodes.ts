import { encodeStrings, MessageType } from '../../../src/xenstore/wire.ts';
import type { Peer, StoreSetting } from '../../xenstore/server/store-setting.ts';

/** The store as those use it that do so in one breath. */
export class Nodes {
  readonly #peer: Peer;

  constructor(setting: StoreSetting) {
    this.#peer = setting.connect(0);
  }

  read(path: string): string | undefined {
    const [answer] = this.#peer.ask(MessageType.READ, encodeStrings(path));
    return answer?.type === MessageType.READ ? Buffer.from(answer.payload).toString() : undefined;
  }

  write(path: string, value: string | number): void {
    this.#peer.ask(MessageType.WRITE, Buffer.from(`${path}\0${value}`));
  }

  remove(path: string): void {
    this.#peer.ask(MessageType.RM, encodeStrings(path));
  }

  /** The state that a directory says; 0 without one. */
  state(directory: string): number {
    return Number(this.read(`${directory}/state`) ?? 0);
  }

  exists(path: string): boolean {
    return this.read(path) !== undefined;
  }
}
