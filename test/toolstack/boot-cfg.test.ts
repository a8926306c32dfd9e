import { expect, it } from 'vitest';
import { formatPattern } from '../../src/toolstack/address-text.ts';
import { parseBootCfg, type BootEntry } from '../../src/toolstack/boot-cfg.ts';

const text = `# boot menu
menu=Boot normally:rndseed /var/db/entropy-file;boot netbsd
menu=Boot Xen:load /netbsd-XEN3_DOM0.gz console=pc pciback.hide=(03:00.0)(04:00.9);multiboot /xen.gz dom0_mem=512M
#menu=Old Xen:load /old pciback.hide=(09:00.0);multiboot /xen.gz
menu=Xen, all of bus 5:load /netbsd-TEST pciback.hide=(05:00.0); multiboot /xen.gz
menu=Drop to boot prompt:prompt
default=2
timeout=5
`;

const hidden = (entry: BootEntry | undefined): string[] | undefined =>
  entry?.parameters.entries.map(({ pattern }) => formatPattern(pattern));

it('finds the kernels that are loaded and what each hides', () => {
  expect(parseBootCfg(text).entries.map((entry) => [entry.title, entry.kernel, hidden(entry)])).toEqual([
    ['Boot Xen', '/netbsd-XEN3_DOM0.gz', ['0000:03:00.0']],
    ['Xen, all of bus 5', '/netbsd-TEST', ['0000:05:00.0']],
  ]);
});

it('places a mistake in the file', () => {
  const { problems } = parseBootCfg(text);
  expect(problems.map(({ at, length, what }) => [text.slice(at, at + length), what])).toEqual([
    ['9', 'there is no function 9'],
  ]);
});

it.each([
  ['default=2', 'Boot Xen'],
  ['default=3', 'Xen, all of bus 5'],
  ['default=1', undefined],
  ['', undefined],
  ['default=9', undefined],
  ['default=x', undefined],
])('with %j boots %s', (line, title) => {
  expect(parseBootCfg(text.replace('default=2', line)).chosen?.title).toBe(title);
});

it('boots the first entry of a file that names no default', () => {
  const only = 'menu=Xen:load /netbsd pciback.hide=(03:00.0)\r\n';
  expect(hidden(parseBootCfg(only).chosen)).toEqual(['0000:03:00.0']);
});
