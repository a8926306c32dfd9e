/** Standard output and standard error of this process. */
import { fstatSync } from 'node:fs';
import { openWriter } from '../host/output-thread.ts';
import { Sink } from './sink.ts';

const open = (fd: number): Sink => new Sink((done) => openWriter(fd, done));

const placeOf = (fd: number): string => {
  const { dev, ino } = fstatSync(fd);
  return `${dev}:${ino}`;
};

/** `2>&1`: what goes to the same place comes in the order in which it was printed. Asked now, while nothing waits for the answer. */
const areOne = placeOf(1) === placeOf(2);

let output: Sink | undefined;
let error: Sink | undefined;

export const standardOutput = (): Sink => (output ??= open(1));
export const standardError = (): Sink => (error ??= areOne ? standardOutput() : open(2));
