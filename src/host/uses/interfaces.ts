/** Whether dom0 uses a network interface. */
import { join } from 'node:path';
import type { HostRoot } from '../host-root.ts';
import { attributeOf, type Device, namesOf, type Use } from './devices.ts';
import { counted, tableOf } from './text.ts';

type Table = readonly (readonly string[])[];

/** The kernel's tables of addresses and routes. */
export interface NetworkTables {
  readonly route: Table;
  readonly fibTrie: Table;
  readonly inet6: Table;
  readonly route6: Table;
}

export function readNetworkTables({ proc }: HostRoot): NetworkTables {
  const table = (name: string): Table => tableOf(join(proc, 'net', name));
  return {
    route: table('route'),
    fibTrie: table('fib_trie'),
    inet6: table('if_inet6'),
    route6: table('ipv6_route'),
  };
}

/**
 * An interface is in use when others are built on it (a bridge, a bond, a VLAN), or when it is up and has an address or a
 * route. What the kernel gives to every interface that is up, a link-local address, is no use.
 */
export function interfaceUses({ path, name }: Device, tables: NetworkTables): readonly Use[] {
  const uppers = namesOf(path)
    .filter((entry) => entry.startsWith('upper_'))
    .map((entry) => entry.slice('upper_'.length));
  const up = (Number(attributeOf(join(path, 'flags')) ?? 0) & interfaceUp) !== 0;
  const addresses = up ? [...ipv4Addresses(name, tables), ...ipv6Addresses(name, tables)] : [];
  const routes = up ? routesOf(name, tables) : 0;
  if (uppers.length === 0 && addresses.length === 0 && routes === 0) return [];
  const details = [
    up ? 'up' : 'down',
    ...addresses,
    ...(routes > 0 ? [counted(routes, 'route')] : []),
    ...uppers.map((upper) => `carries ${upper}`),
  ];
  const remedy = [...uppers.map((upper) => `take ${upper} off ${name}`), `ip link set ${name} down`].join(
    ', ',
  );
  return [{ what: name, detail: details.join(', '), remedy }];
}

/** IFF_UP (include/uapi/linux/if.h). */
const interfaceUp = 1 << 0;

interface Ipv4Route {
  readonly name: string;
  readonly destination: number;
  readonly mask: number;
  readonly direct: boolean;
}

/** Numbers are in hex, in network order as this little-endian host reads them. */
function ipv4Routes({ route }: NetworkTables): readonly Ipv4Route[] {
  return route.slice(1).map(([name = '', destination = '', gateway = '', , , , , mask = '']) => ({
    name,
    destination: swapped(destination),
    mask: swapped(mask),
    direct: swapped(gateway) === 0,
  }));
}

const swapped = (hex: string): number => Buffer.from(hex.padStart(8, '0'), 'hex').readUInt32LE();

/**
 * The kernel lists its own addresses apart from interfaces: each belongs to the interface with the narrowest network around
 * it.
 */
function ipv4Addresses(name: string, tables: NetworkTables): readonly string[] {
  const networks = ipv4Routes(tables)
    .filter(({ direct, mask }) => direct && mask !== 0)
    .toSorted((a, b) => b.mask - a.mask);
  return ownAddresses(tables).flatMap((address) => {
    const number = Buffer.from(address.split('.').map(Number)).readUInt32BE();
    const network = networks.find(({ destination, mask }) => (number & mask) >>> 0 === destination);
    return network?.name === name ? [`${address}/${Math.clz32(~network.mask)}`] : [];
  });
}

/** A leaf `|-- 192.0.2.7` with a line `/32 host LOCAL` below it (net/ipv4/fib_trie.c, fib_trie_seq_show). */
function ownAddresses({ fibTrie }: NetworkTables): readonly string[] {
  const addresses = fibTrie.map(([mark, address = ''], index) => {
    const following = fibTrie.slice(index + 1, index + 9);
    const end = following.findIndex(([word = '']) => !word.startsWith('/'));
    const kinds = end < 0 ? following : following.slice(0, end);
    const local = kinds.some(([length, scope, kind]) => `${length} ${scope} ${kind}` === '/32 host LOCAL');
    return mark === '|--' && local ? address : '';
  });
  return [...new Set(addresses)].filter((address) => address !== '');
}

const scopeOfLink = '20';

/** Address, index, length of the prefix, scope, flags, name: all but the name in hex (net/ipv6/addrconf.c). */
function ipv6Addresses(name: string, { inet6 }: NetworkTables): readonly string[] {
  return inet6
    .filter(([, , , scope, , owner]) => owner === name && scope !== scopeOfLink)
    .map(([address = '', , length = '']) => `${formatIpv6(address)}/${Number.parseInt(length, 16)}`);
}

/** A URL spells an address in its short form (RFC 5952). */
const formatIpv6 = (digits: string): string =>
  new URL(`http://[${digits.replace(/(.{4})(?!$)/g, '$1:')}]`).hostname.slice(1, -1);

/** Routes of IPv4, and those of IPv6 but to itself, its link and multicast, which come with being up. */
function routesOf(name: string, tables: NetworkTables): number {
  const ipv6 = tables.route6.filter(
    ([destination = '', length, , , , , , , , owner]) =>
      owner === name && length !== '80' && !/^(?:fe[89ab]|ff)/.test(destination),
  );
  return ipv4Routes(tables).filter((route) => route.name === name).length + ipv6.length;
}
