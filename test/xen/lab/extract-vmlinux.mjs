// The ELF kernel inside a bzImage. Where it is says the setup header (Linux, Documentation/x86/boot.rst: setup_sects at 0x1f1,
// payload_offset at 0x248 and payload_length at 0x24c, counted from the first byte after the setup sectors).
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const [, , bzImage, vmlinux] = process.argv;
const image = readFileSync(bzImage);
const setupSectors = image[0x1f1] || 4;
const start = (setupSectors + 1) * 512 + image.readUInt32LE(0x248);
const length = image.readUInt32LE(0x24c);
// The last four bytes are not of the compressed stream: they tell the size that it unpacks to.
const sizeAt = start + length - 4;

const elf = execFileSync('xz', ['-dc'], { input: image.subarray(start, sizeAt), maxBuffer: 2 ** 29 });
if (elf.length !== image.readUInt32LE(sizeAt))
  throw new Error(`${bzImage}: the kernel inside has another size than told`);
writeFileSync(vmlinux, elf);
