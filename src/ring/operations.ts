/**
 * The requests of a guest, decided on the copy that was taken of each (XSA-155). One object serves one guest for as long as it is
 * connected; its fields hold the answer to the last request, so that nothing is allocated for one.
 */
import { InterruptKind } from '../config-space/record.ts';
import type { ExportedFunction, FindFunction } from './exported-function.ts';
import { Command, OpWord, WireError } from './layout.ts';
import { grantMsi, grantMsix, revoke, revokeKind } from './vectors.ts';

export class RingOperations {
  /** What `err` and `value` of the request become, and how many MSI-X vectors at its end. */
  err: WireError = WireError.success;
  value = 0;
  vectors = 0;
  /** The function that the last request named; undefined when the guest has none there. */
  target: ExportedFunction | undefined = undefined;
  /** Offset of the dword register that the last request was denied to write; -1 when it was not a denied write. */
  denied = -1;
  readonly #find: FindFunction;
  #granted: ExportedFunction | undefined = undefined;

  constructor(find: FindFunction) {
    this.#find = find;
  }

  /** Decides on a request and performs it. `op` has the words of `OpWord`; a grant of MSI-X puts its vectors there. */
  handle(op: Int32Array): void {
    this.answered();
    this.err = WireError.success;
    this.value = (op[OpWord.value] ?? 0) >>> 0;
    this.vectors = 0;
    this.denied = -1;
    const target = this.#find(
      (op[OpWord.domain] ?? 0) >>> 0,
      (op[OpWord.bus] ?? 0) >>> 0,
      (op[OpWord.devfn] ?? 0) >>> 0,
    );
    this.target = target;
    if (target === undefined) this.err = WireError.deviceNotFound;
    else this.#perform(target, op);
  }

  /**
   * The answer to the last request is out. The next `handle` implies it; said earlier, it shortens the time in which a crash
   * has a guest's second request for interrupts answered like its first.
   */
  answered(): void {
    this.#granted?.filter.record.answered();
    this.#granted = undefined;
  }

  /** The guest had given up the last request before it was answered, and knows of no interrupts that it was granted. */
  abandoned(): void {
    if (this.#granted) revoke(this.#granted);
    this.#granted = undefined;
  }

  #perform(target: ExportedFunction, op: Int32Array): void {
    const { filter, pirqs } = target;
    switch (op[OpWord.cmd] ?? -1) {
      case Command.confRead:
        this.err = filter.read(op[OpWord.offset] ?? 0, op[OpWord.size] ?? 0);
        this.value = filter.value;
        return;
      case Command.confWrite:
        this.err = filter.write(op[OpWord.offset] ?? 0, op[OpWord.size] ?? 0, op[OpWord.value] ?? 0);
        this.denied = filter.lastDenied;
        return;
      case Command.enableMsi:
        this.value = grantMsi(target);
        this.#settle(target, this.value > 0);
        return;
      case Command.disableMsi:
        // Linux asks with this one for either kind (6.1 does): it has forgotten by then that it was MSI-X
        // (arch/x86/pci/xen.c, xen_pv_teardown_msi_irqs).
        revoke(target);
        this.value = pirqs.intx();
        return;
      case Command.enableMsix:
        if (this.#settle(target, grantMsix(target, op, this.value))) {
          this.vectors = this.value;
          this.value = 0;
        }
        return;
      case Command.disableMsix:
        revokeKind(target, InterruptKind.msix);
        this.value = pirqs.intx();
        return;
      default:
        this.err = WireError.notImplemented;
    }
  }

  #settle(target: ExportedFunction, granted: boolean): boolean {
    if (granted) {
      this.#granted = target;
    } else {
      this.err = WireError.operationFailed;
      target.filter.record.countFailure();
    }
    return granted;
  }
}
