import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Instruction, parseSequences, type Sequence } from '@heki-internal/vectors/sequences';
import { BOCHS, type Emulator, QEMU } from './emulators.ts';
import { assembleGuest } from './image.ts';
import { encodeProgram } from './program.ts';

const USAGE = `usage: pnpm judges [--mark] FILE...
Has QEMU and Bochs execute the sequences of vectors/instruction-sequences/*.txt. Each sequence names who agrees with what the file says;
with none it is decided by the manual. --mark writes these names; without it they are compared, and differences are printed.`;

/** Runs what the command line asks for; the exit code. */
function main(args: readonly string[]): number {
  const files = args.filter((arg) => arg !== '--mark');
  if (files.length === 0 || files.some((file) => file.startsWith('-'))) {
    console.error(USAGE);
    return 2;
  }
  const folder = mkdtempSync(join(tmpdir(), 'judges-'));
  try {
    const makeDisk = assembleGuest(fileURLToPath(new URL('../guest', import.meta.url)), folder);
    let wrong = 0;
    for (const file of files) {
      const lines = readFileSync(resolve(file), 'utf8').split('\n');
      const sequences = parseSequences(lines);
      const outcomes = [QEMU, BOCHS].map((emulator) => ({
        name: emulator.name,
        got: runAll(sequences, emulator, makeDisk, folder),
      }));
      for (const sequence of sequences) {
        const agree = outcomes.flatMap(({ name, got }) => {
          const difference = differenceOf(sequence, got.get(sequence));
          if (difference !== undefined) {
            console.log(`${file}:${sequence.line} ${sequence.name}: ${name} ${difference}`);
          }
          return difference === undefined ? [name] : [];
        });
        const judges = agree.length === 0 ? 'manual' : agree.join(' ');
        if (judges === sequence.judges.join(' ')) continue;
        wrong++;
        const at = sequence.line - 1;
        if (args.includes('--mark')) lines[at] = (lines[at] ?? '').replace(/\|.*$/, `| ${judges}`);
        else
          console.log(
            `${file}:${sequence.line} ${sequence.name}: names ${sequence.judges.join(' ')}, agreed by ${judges}`,
          );
      }
      if (args.includes('--mark')) writeFileSync(resolve(file), lines.join('\n'));
    }
    return wrong === 0 || args.includes('--mark') ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The outcomes of each sequence that the emulator can run: sequences of the same processor in one go. */
function runAll(
  sequences: readonly Sequence[],
  emulator: Emulator,
  makeDisk: ReturnType<typeof assembleGuest>,
  folder: string,
): Map<Sequence, readonly string[]> {
  const groups = new Map<string, Sequence[]>();
  for (const sequence of sequences) {
    if (!emulator.knows(sequence.processor)) continue;
    const key = JSON.stringify(sequence.processor);
    groups.set(key, [...(groups.get(key) ?? []), sequence]);
  }
  const outcomes = new Map<Sequence, readonly string[]>();
  for (const group of groups.values()) {
    let left: readonly Sequence[] = group;
    // One that ends the guest is noted, and those behind it run again.
    while (left.length > 0) {
      const program = encodeProgram(left);
      const disk = join(folder, 'disk.img');
      const cylinders = makeDisk(program.bytes, disk);
      const results = program.readOutput(emulator.run(left, disk, cylinders, folder));
      const ended = left.findIndex(
        (sequence, i) => (results[i]?.length ?? 0) < instructionsOf(sequence).length,
      );
      const completed = ended < 0 ? left.length : ended + 1;
      for (const [i, sequence] of left.slice(0, completed).entries())
        outcomes.set(sequence, results[i] ?? []);
      left = left.slice(completed);
    }
  }
  return outcomes;
}

function instructionsOf({ steps }: Sequence): readonly Instruction[] {
  return steps.filter((step): step is Instruction => step.kind === 'instruction');
}

function differenceOf(sequence: Sequence, got: readonly string[] | undefined): string | undefined {
  if (got === undefined) return 'has no such processor';
  for (const [i, { name, outcome }] of instructionsOf(sequence).entries()) {
    if (outcome !== got[i])
      return `gives ${got[i] ?? 'no answer'} for ${name} (instruction ${i + 1}), the file has ${outcome}`;
  }
  return undefined;
}

process.exitCode = main(process.argv.slice(2));
