/** Attributes of sysfs are written by a program of its own; see native/attribute_write.h for why. */
import { getSystemErrorName } from 'node:util';
import { PcibackError } from '../errors.ts';
import { nativeAddon, nativeProgram, rebuild } from './native.ts';

/**
 * Writes an attribute with a single write(2), which may take as long as it likes: no thread of this process waits for it, and it keeps
 * neither the process nor the event loop from ending. Once begun, it runs to its end even when this process is killed.
 *
 * @param held the directory of the device that the write is about. One write at a time has it, whoever began it.
 * @throws what the operating system said, with its `code`; NO-NATIVE-ADDON when the program cannot be run.
 */
export async function writeAttribute(path: string, text: string, held?: string): Promise<void> {
  const writer = nativeProgram('attribute-writer');
  const error = await new Promise<number>((resolve) => {
    nativeAddon().writeAttribute(writer, held, path, text, resolve);
  });
  if (error === 0) return;
  const code = getSystemErrorName(-Math.abs(error));
  if (error > 0) throw Object.assign(new Error(`${code}: write '${path}'`), { code, path, syscall: 'write' });
  throw new PcibackError('NO-NATIVE-ADDON', `${writer} cannot be run: ${code}`, rebuild);
}

/** Whether a write about a device is under way, whoever began it. */
export const isWriteUnderWay = (held: string): boolean => nativeAddon().isHeld(held);

/**
 * The end of a write about a device that is under way, whoever began it; undefined when there is none. Until then the kernel may hold up
 * whoever reads its registers, and the thread with them (Linux drivers/pci/access.c, pci_cfg_access_lock).
 */
export function writeUnderWay(held: string): Promise<void> | undefined {
  if (!isWriteUnderWay(held)) return undefined;
  return new Promise((resolve) => nativeAddon().whenReleased(held, () => resolve()));
}
