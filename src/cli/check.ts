import { PcibackError, type Problem, nearest, showProblem } from '../toolstack/grammars.ts';
import { guessKind, type Kind, kinds, readers } from './check/kinds.ts';
import { defineCommand } from './command.ts';
import { readStream, readText } from './files.ts';
import { elide } from './failure.ts';
import type { Output } from './output.ts';

/** Throws USAGE. */
function kindOf(word: string): Kind {
  const kind = kinds.find((each) => each === word);
  if (kind) return kind;
  const meant = nearest(word, kinds);
  const remedy = `${meant ? `did you mean ${meant}? ` : ''}kinds are ${kinds.join(', ')}`;
  throw new PcibackError('USAGE', `there is no kind of file '${word}'`, remedy);
}

/** Counted from 1, as editors do. */
function placed(text: string, { at, length, what, remedy }: Problem): Record<string, unknown> {
  const lines = text.slice(0, at).split('\n');
  return { line: lines.length, column: (lines.at(-1) ?? '').length + 1, length, what, remedy };
}

/** Every mistake and every warning where it is, in the order in which they stand. */
function showAll(
  text: string,
  source: string,
  problems: readonly Problem[],
  warnings: readonly Problem[],
  output: Output,
): void {
  const all = [
    ...problems.map((each) => ({ ...each, colour: 'red' as const })),
    ...warnings.map((each) => ({ ...each, what: `warning: ${each.what}`, colour: 'yellow' as const })),
  ];
  for (const { colour, ...each } of all.toSorted((a, b) => a.at - b.at)) {
    const [head = '', ...where] = showProblem(text, each, source);
    output.print([output.style(colour, elide(head)), ...where]);
  }
}

const standardInput = '-';
const expected = 'name an xl.cfg, a boot.cfg, or a file with a command line or a hide list';

export const check = defineCommand({
  operands: 'FILE',
  arity: [1, 1],
  description: `Reads a file as pciback, and the toolstack, would, and says what it means for PCI passthrough: the pci = [...] of an xl.cfg, the menu of a NetBSD boot.cfg, the command line of a kernel, or a hide list. Or it shows what is wrong with it, with a mark under each mistake. What is taken but would be misread by somebody else is warned of.

The host is not asked: a file can be checked on another machine. - stands for standard input. What the file is, is guessed from its name and from what is in it, unless --kind says so. The exit code is 1 when there are mistakes.`,
  examples: [
    { line: 'pciback check /etc/xen/web.cfg', does: 'what would this guest get?' },
    {
      line: 'pciback check --kind command-line /proc/cmdline',
      does: 'what did the kernel that runs here hide?',
    },
  ],
  options: {
    kind: { type: 'string', value: 'KIND', help: `what the file is: ${kinds.join(', ')}` },
  },
  async run({ options, positionals }, { output, signal }) {
    const [file = standardInput] = positionals;
    const told = options.kind === undefined ? undefined : kindOf(options.kind);
    const text =
      file === standardInput
        ? await readStream(process.stdin, 'standard input', expected, signal)
        : await readText(file, expected);
    const kind = told ?? guessKind(file, text);
    const { problems, warnings, words, data } = readers[kind](text);
    const ok = problems.length === 0;
    if (options.json) {
      const places = (found: readonly Problem[]) => found.map((each) => placed(text, each));
      output.printJson({
        file,
        kind,
        ok,
        problems: places(problems),
        warnings: places(warnings),
        meaning: data,
      });
    } else {
      showAll(text, file, problems, warnings, output);
      if (ok) output.print([`${file}, read as ${kind}:`, ...words]);
    }
    if (ok) return;
    const count = problems.length === 1 ? 'one mistake' : `${problems.length} mistakes`;
    throw new PcibackError(
      'CHECK-FAILED',
      `${file}, read as ${kind}, has ${count}`,
      told ? 'mend it where it is marked' : 'mend it where it is marked, or say with --kind what it is',
    );
  },
});
