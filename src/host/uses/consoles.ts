/** Whether dom0 talks to people through a function. */
import { join } from 'node:path';
import type { HostRoot } from '../host-root.ts';
import { attributeOf, type Device, namesOf, type Use } from './devices.ts';

/** The terminals that the kernel prints to: `tty0`, `ttyS0`, `hvc0`. */
export const activeConsoles = ({ sysfs }: HostRoot): readonly string[] =>
  attributeOf(join(sysfs, 'class/tty/console/active'))?.split(/\s+/) ?? [];

export const terminalUses = ({ name }: Device, active: readonly string[]): readonly Use[] =>
  active.includes(name)
    ? [
        {
          what: `/dev/${name}`,
          detail: 'a console of the kernel',
          remedy: `boot dom0 without console=${name}`,
        },
      ]
    : [];

/**
 * The display adapter that the firmware has left on belongs to dom0 while virtual terminals are drawn on it. The console in
 * the text mode of VGA is bound also where nobody looks: it counts when the kernel prints to it.
 */
export function displayUses(root: HostRoot, { path }: Device, active: readonly string[]): readonly Use[] {
  if (attributeOf(join(path, 'boot_vga')) !== '1') return [];
  return drawn(root, (kind) => isFrameBuffer(kind) || (kind.includes('VGA') && active.includes('tty0')));
}

/** Virtual terminals are drawn on the first frame buffer, whichever adapter it is that of. */
export const frameBufferUses = (root: HostRoot, { name }: Device): readonly Use[] =>
  name === 'fb0' ? drawn(root, isFrameBuffer) : [];

const isFrameBuffer = (kind: string): boolean => kind.includes('frame buffer');

function drawn({ sysfs }: HostRoot, isDrawn: (kind: string) => boolean): readonly Use[] {
  const consoles = join(sysfs, 'class/vtconsole');
  return namesOf(consoles)
    .filter((name) => attributeOf(join(consoles, name, 'bind')) === '1')
    .flatMap((name) => {
      const kind = attributeOf(join(consoles, name, 'name')) ?? '';
      const detail = `the console is drawn on it: ${kind}`;
      const remedy = `echo 0 > /sys/class/vtconsole/${name}/bind`;
      return isDrawn(kind) ? [{ what: 'the display of dom0', detail, remedy }] : [];
    });
}
