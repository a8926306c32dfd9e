/** Where metrics may be served: names of functions and guests are nobody's business but the host's, unless somebody says so. */
import { lookup } from 'node:dns/promises';
import { BlockList, isIPv6 } from 'node:net';
import { PcibackError } from '../errors.ts';

export interface ListenAddress {
  /** A name or an address. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Also addresses that other machines can reach. */
  readonly anyAddress?: boolean;
}

const form = 'write HOST:PORT, as in 127.0.0.1:9110 or [::1]:9110';

/** Reads `HOST:PORT`; an IPv6 address stands in brackets. Throws USAGE. */
export function parseListenAddress(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[(?<six>[^\]]*)\]|(?<name>[^:[\]]+)):(?<port>\d{1,5})$/.exec(text);
  const { six, name = six, port } = match?.groups ?? {};
  if (name === undefined || (six !== undefined && !isIPv6(six)))
    throw new PcibackError('USAGE', `'${text}' is no address to listen at`, form);
  if (Number(port) > 0xffff) throw new PcibackError('USAGE', `there is no port ${port}`, form);
  return { host: name, port: Number(port) };
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/**
 * The address to listen at. A name is looked up once, so that what was checked is what is used. Rejects with USAGE when
 * others can reach it and nobody has asked for that, and with CANNOT-LISTEN when the name means nothing here.
 */
export async function resolveListenAddress({ host, anyAddress = false }: ListenAddress): Promise<string> {
  const { address, family } = await lookup(host).catch((cause: NodeJS.ErrnoException) => {
    throw new PcibackError('CANNOT-LISTEN', `'${host}' is no address of this machine: ${cause.code}`, form, {
      cause,
    });
  });
  if (anyAddress || loopback.check(address, family === 6 ? 'ipv6' : 'ipv4')) return address;
  throw new PcibackError(
    'USAGE',
    `metrics are not served at ${host}, which other machines can reach`,
    'use a loopback address such as 127.0.0.1, or say that this is meant: --metrics-any-address',
  );
}
