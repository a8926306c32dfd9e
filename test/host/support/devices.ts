import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import type { HostRoot } from '../../../src/host/host-root.ts';

export interface FakeDevice {
  readonly subsystem: string;
  /** `major:minor`. */
  readonly number?: string;
  /** Below /dev. */
  readonly file?: string;
  readonly attributes?: Readonly<Record<string, string>>;
}

/** Writes a file and the directories above it. */
export function put(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${text}\n`);
}

/** Makes a device as its driver would: with its attributes, its subsystem and, in the class of that, a link to it. */
export function addDevice({ sysfs }: HostRoot, path: string, device: FakeDevice): string {
  mkdirSync(path, { recursive: true });
  const place = realpathSync(path);
  const { subsystem, number, file, attributes = {} } = device;
  const classDirectory = join(sysfs, 'class', subsystem);
  mkdirSync(classDirectory, { recursive: true });
  symlinkSync(relative(place, classDirectory), join(place, 'subsystem'));
  symlinkSync(relative(classDirectory, place), join(classDirectory, place.slice(dirname(place).length + 1)));
  if (number !== undefined) put(join(place, 'dev'), number);
  put(join(place, 'uevent'), file === undefined ? '' : `MAJOR=1\nDEVNAME=${file}`);
  for (const [name, text] of Object.entries(attributes)) put(join(place, name), text);
  return place;
}

/** Notes that a volume is made of a disk, as the kernel does. */
export function hold(disk: string, volume: string): void {
  const holders = join(disk, 'holders');
  mkdirSync(holders, { recursive: true });
  symlinkSync(relative(holders, volume), join(holders, volume.slice(dirname(volume).length + 1)));
}
