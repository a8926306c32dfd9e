// Step 3: boots the machine once for each scenario, tells the story that dom0 writes meanwhile, and counts.
// boot.mjs CACHE FOLDER...; the last line is "N passed, N failed".
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { driveArguments } from './disks.mjs';
import { showLogs } from './logs.mjs';
import { machineArguments } from './machine.mjs';
import { startQemu } from './qemu.mjs';
import { makeShare } from './share.mjs';
import { Story } from './story.mjs';

const lab = dirname(fileURLToPath(import.meta.url));
const [, , cache, ...folders] = process.argv;

let passed = 0;
let failed = 0;
for (const folder of folders) {
  const story = await play(folder);
  passed += story.passed;
  failed += story.failed;
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;

async function play(folder) {
  const name = basename(folder);
  const scenario = readScenario(folder);
  const run = join(cache, 'runs', name);
  rmSync(run, { recursive: true, force: true });
  mkdirSync(run, { recursive: true });
  const share = makeShare({ directory: join(run, 'share'), lab, folder, scenario });
  console.log(`\n${name}: ${scenario.about}`);

  const story = new Story();
  const qemu = startQemu(
    machineArguments({ images: join(cache, 'images'), share, drives: driveArguments(run), scenario }),
    run,
  );
  const timer = setTimeout(() => void giveUp(qemu, scenario), scenario.seconds * 1000);
  try {
    await story.follow(join(share, 'story'), qemu);
  } finally {
    clearTimeout(timer);
    qemu.end();
  }
  console.log(
    `  ${story.passed} of ${story.passed + story.failed} facts in ${qemu.seconds().toFixed(0)} s; logs: ${run}`,
  );
  if (story.failed > 0) showLogs(run);
  return story;
}

async function giveUp(qemu, { seconds }) {
  await qemu.question();
  qemu.end(`not done when the ${seconds} seconds of the scenario were over`);
}

/** What a scenario may say of itself; README.md explains each. */
function readScenario(folder) {
  const file = join(folder, 'scenario.json');
  const given = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  return { about: '', seconds: 900, xenstored: 'xenstored', xen: '', dom0: '', qemu: [], ...given };
}
