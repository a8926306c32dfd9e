import { Command, WireError } from '../../ring/layout.ts';
import type { RawAnswer, RawRequest } from '../requests.ts';

const errorNames: ReadonlyMap<number, string> = new Map([
  [WireError.success, 'success'],
  [WireError.deviceNotFound, 'device not found'],
  [WireError.invalidOffset, 'invalid offset'],
  [WireError.accessDenied, 'access denied'],
  [WireError.notImplemented, 'not implemented'],
  [WireError.operationFailed, 'operation failed'],
]);

const commandNames: ReadonlyMap<number, string> = new Map(
  Object.entries(Command).map(([name, cmd]) => [cmd, name]),
);

export const hex = (value: number, digits = 1): string =>
  value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16).padStart(digits, '0')}`;

/** `access denied (-3)`; an error that is not of the wire shows as its number. */
export const describeError = (err: number | null): string => {
  if (err === null) return 'no answer';
  return err === 0 ? 'success' : `${errorNames.get(err) ?? 'not an error of the wire'} (${err})`;
};

export const describeRead = (offset: number, size: number): string => `read ${hex(offset, 3)}/${size}`;

export const describeWrite = (offset: number, size: number, value: number): string =>
  `write ${hex(offset, 3)}/${size} = ${hex(value, 2 * size)}`;

export function describeRequest(request: RawRequest): string {
  const { cmd, domain = 0, bus = 0, devfn = 0, offset = 0, size = 0, value = 0, entries = [] } = request;
  const where = `at ${[hex(domain, 4), hex(bus, 2), hex(devfn, 2)].join(':')}`;
  if (cmd === Command.confRead) return `${describeRead(offset, size)} ${where}`;
  if (cmd === Command.confWrite) return `${describeWrite(offset, size, value)} ${where}`;
  const name = commandNames.get(cmd) ?? `command ${cmd}`;
  if (cmd !== Command.enableMsix) return `${name} ${where}`;
  return `${name} n=${value} ${entries.length > 0 ? `entries ${entries.map((entry) => hex(entry)).join(' ')} ` : ''}${where}`;
}

export const describeAnswer = ({ err, value }: RawAnswer): string =>
  err === 0 ? `success, value ${hex(value, 8)}` : describeError(err);
