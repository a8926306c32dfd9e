/**
 * NetBSD's boot.cfg(5): lines `keyword=value`, `#` begins a comment. An entry of the menu is a title and the boot loader's
 * commands; the kernel's parameters follow its name in the `load` command:
 *
 *     menu=Xen:load /netbsd-XEN3_DOM0.gz pciback.hide=(03:00.0)(04:00.0);multiboot /xen.gz dom0_mem=512M
 */
import { parseKernelCommandLine, type BootParameters } from './kernel-command-line.ts';
import type { Problem } from './problem.ts';

export interface BootEntry {
  /** What the menu shows. */
  readonly title: string;
  /** The kernel that is loaded. */
  readonly kernel: string;
  readonly parameters: BootParameters;
}

export interface BootCfg {
  /** The entries that load a kernel with parameters of its own, as one boots Xen. */
  readonly entries: readonly BootEntry[];
  /** The one of them that is booted when no key is pressed; undefined when that entry boots something else. */
  readonly chosen: BootEntry | undefined;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** `commands` is what follows the title of a menu entry, `at` its place in the file. */
function readMenuEntry(title: string, commands: string, at: number): BootEntry | undefined {
  for (const { 0: command, index } of commands.matchAll(/[^;]+/g)) {
    const load = /^\s*load\s+(?<kernel>\S+)/.exec(command);
    if (!load) continue;
    const [{ length }] = load;
    const parameters = parseKernelCommandLine(command.slice(length), at + index + length);
    return { title, kernel: load.groups?.['kernel'] ?? '', parameters };
  }
  return undefined;
}

/** Reads a boot.cfg. Lines that have nothing to do with passthrough are skipped. Never throws. */
export function parseBootCfg(text: string): BootCfg {
  const menu: (BootEntry | undefined)[] = [];
  let chosen = 1;
  for (const line of text.matchAll(/^(?<keyword>menu|default)=(?<value>[^\r\n]*)/gm)) {
    const { keyword = '', value = '' } = line.groups ?? {};
    if (keyword === 'default') {
      chosen = Number(value);
      continue;
    }
    // An entry without a title shows its commands instead.
    const title = /^[^:;]*:/.exec(value)?.[0] ?? '';
    const at = line.index + 'menu='.length + title.length;
    menu.push(readMenuEntry(title === '' ? value : title.slice(0, -1), value.slice(title.length), at));
  }
  const entries = menu.filter((entry) => entry !== undefined);
  return {
    entries,
    chosen: menu[chosen - 1],
    problems: entries.flatMap(({ parameters }) => parameters.problems),
    warnings: entries.flatMap(({ parameters }) => parameters.warnings),
  };
}
