import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseCfgText, type CfgValue } from '../../src/toolstack/cfg-text.ts';
import { parseXlCfg } from '../../src/toolstack/xl-cfg.ts';

type Plain = string | number | Plain[];
const plain = (value: CfgValue): Plain => (value.kind === 'list' ? value.items.map(plain) : value.value);
const settingsOf = (text: string): Record<string, Plain> =>
  Object.fromEntries([...parseCfgText(text).settings].map(([name, value]) => [name, plain(value)]));
const mistakesIn = (text: string): string[] =>
  parseXlCfg(text).problems.map(({ at, what }) => `${at}: ${what}`);

describe('the syntax of an xl.cfg', () => {
  it.each([
    [`name = "web"\nvcpus=2`, { name: 'web', vcpus: 2 }],
    [`a = 'x' ; b = 0x1F # ; c = 3`, { a: 'x', b: 31 }],
    [`pci = [ '03:00.0', "04:00.0", ]`, { pci: ['03:00.0', '04:00.0'] }],
    [`pci = [\n  # the NIC\n  '03:00.0'\n  ,\n\n  '04:00.0'\n]\n`, { pci: ['03:00.0', '04:00.0'] }],
    [`pci = ['a']\npci += ['b']`, { pci: ['a', 'b'] }],
    [`pci += ['a']`, { pci: ['a'] }],
    [`pci = ['a']\npci = ['b']`, { pci: ['b'] }],
    [`extra = "a"\nextra += " b"`, { extra: 'a b' }],
    [`pci = []`, { pci: [] }],
    [`a = [ [ 1, 'x' ], 2 ]`, { a: [[1, 'x'], 2] }],
    [String.raw`a = 'it\'s \x41\102\n\q'`, { a: "it's AB\nq" }],
    [`a = "x # y"\r\n`, { a: 'x # y' }],
    ['', {}],
    ['\n\n;;\n# only a comment', {}],
  ])('%j', (text, settings) => {
    expect(parseCfgText(text).problems).toEqual([]);
    expect(settingsOf(text)).toEqual(settings);
  });

  it.each([
    [`a = 'x\nb = 1`, ['4: the string has no closing quote']],
    [`a 1\nb = 1`, ["2: '1' stands where '=' should be"]],
    [`a =\nb = 1`, ['3: the line ends where a value should be']],
    [`b = 1\na = `, ['10: the file ends where a value should be']],
    [`a = [ 1 2 ]\nb = 1`, ["8: '2' stands where ',' or ']' should be"]],
    [`a = 1 2\nb = 1`, ["6: '2' stands where the end of the line should be"]],
    [`= 1\nb = 1`, ["0: '=' stands where the name of a setting should be"]],
    [`a = 1\na += 2\nb = 1`, ['6: += joins lists, or strings; a is neither twice']],
  ])('%j is wrong, and the rest is read', (text, mistakes) => {
    const { problems, settings } = parseCfgText(text);
    expect(problems.map(({ at, what }) => `${at}: ${what}`)).toEqual(mistakes);
    expect(settings.has('b')).toBe(true);
  });

  it('never throws and always ends', () => {
    const scraps = fc.constantFrom('a', '=', '+=', '[', ']', ',', ';', '\n', "'", '"', '\\', '1', ' ', '#');
    fc.assert(
      fc.property(
        fc.array(scraps).map((parts) => parts.join('')),
        (text) => {
          for (const { at, length } of parseXlCfg(text).problems)
            expect(at + length).toBeLessThanOrEqual(text.length);
        },
      ),
    );
  });
});

describe('PCI passthrough in an xl.cfg', () => {
  it('gives the specifications, with the defaults of the guest where they leave an option open', () => {
    const { name, specs, problems } = parseXlCfg(
      `name = 'web'\npci = [ '03:00.0', '04:00.0,permissive=0,seize=1' ]\npci_permissive = 1\npci_power_mgmt = "1"\n`,
    );
    expect(problems).toEqual([]);
    expect(name).toBe('web');
    expect(specs.map(({ text, options }) => [text, options])).toEqual([
      ['03:00.0', { permissive: true, powerManagement: true }],
      ['04:00.0,permissive=0,seize=1', { permissive: false, powerManagement: true, seize: true }],
    ]);
  });

  it.each([
    [`pci = '03:00.0'`, ['6: pci is a list of strings']],
    [`pci = [ 3 ]`, ['8: a device is written as a string']],
    [`pci = [ '03:00.0' ]\npci_permissive = 'yes'`, ['37: pci_permissive is not a number']],
    [
      `pci = [ '03:00.8', '04:00.0,seize=yes' ]`,
      ['15: there is no function 8', "34: 'yes' is no value of seize; xl would take it for off"],
    ],
    [`pci = [ '03:00' ]`, ['14: the function number is missing']],
    [String.raw`pci = [ '\x30\x33:00.8' ]`, ['21: there is no function 8']],
  ])('%j is wrong', (text, mistakes) => {
    expect(mistakesIn(text)).toEqual(mistakes);
  });

  it('has nothing to say about a file without passthrough', () => {
    expect(parseXlCfg(`memory = 512\ndisk = [ 'phy:/dev/vg/x,xvda,w' ]`)).toMatchObject({
      specs: [],
      problems: [],
      warnings: [],
    });
  });
});
