/** Other PCI functions that vanish along with one. */
import { join } from 'node:path';
import { isStub } from '../stubs.ts';
import { attributeOf, type Device, linkNameOf, namesOf, type Use } from './devices.ts';
import { counted } from './text.ts';

/** At most this many by name: a function can have hundreds. */
const mostNamed = 8;

/** Without its driver a physical function has no virtual ones: they would vanish from whoever has them. */
export function virtualFunctions({ path, name }: Device): readonly Use[] {
  const links = namesOf(path).filter((entry) => /^virtfn\d+$/.test(entry));
  const count = Math.max(Number(attributeOf(join(path, 'sriov_numvfs')) ?? 0) || 0, links.length);
  if (count === 0) return [];
  const named = links.slice(0, mostNamed).map((link) => {
    const driver = linkNameOf(join(path, link, 'driver'));
    return `${linkNameOf(join(path, link)) ?? link}${driver === undefined ? '' : ` of ${driver}`}`;
  });
  const more = links.length > named.length ? [`${links.length - named.length} more`] : [];
  const names = named.length > 0 ? `: ${[...named, ...more].join(', ')}` : '';
  return [
    {
      what: name,
      detail: `has ${counted(count, 'virtual function')}${names}`,
      remedy: `echo 0 > /sys/bus/pci/devices/${name}/sriov_numvfs`,
    },
  ];
}

/** A function in a PCI domain that another one has made (VMD), and that a stub keeps for guests. */
export function keptForGuests({ path, name }: Device): readonly Use[] {
  const driver = linkNameOf(join(path, 'driver')) ?? null;
  if (!isStub(driver)) return [];
  return [{ what: name, detail: `kept for guests by ${driver}`, remedy: `pciback unhide ${name}` }];
}
