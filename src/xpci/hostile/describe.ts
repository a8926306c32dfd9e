import { formatSbdf, makeSbdf } from '../../address.ts';
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

/** `0000:00:01.0` as far as the numbers are such an address, and else each of them. */
function describeAddress({ domain = 0, bus = 0, devfn = 0 }: RawRequest): string {
  const isAddress = domain >>> 16 === 0 && bus >>> 8 === 0 && devfn >>> 8 === 0;
  if (isAddress) return formatSbdf(makeSbdf(domain, bus, devfn >>> 3, devfn & 7));
  return `domain ${hex(domain >>> 0)} bus ${hex(bus >>> 0)} devfn ${hex(devfn >>> 0)}`;
}

export function describeRequest(request: RawRequest): string {
  const { cmd, offset = 0, size = 0, value = 0, entries = [] } = request;
  const where = `at ${describeAddress(request)}`;
  if (cmd === Command.confRead) return `${describeRead(offset, size)} ${where}`;
  if (cmd === Command.confWrite) return `${describeWrite(offset, size, value)} ${where}`;
  const name = commandNames.get(cmd) ?? `command ${hex(cmd >>> 0)}`;
  if (cmd !== Command.enableMsix) return `${name} ${where}`;
  return `${name} n=${value} ${entries.length > 0 ? `entries ${entries.map((entry) => hex(entry)).join(' ')} ` : ''}${where}`;
}

export const describeAnswer = ({ err, value }: RawAnswer): string =>
  err === 0 ? `success, value ${hex(value, 8)}` : describeError(err);
