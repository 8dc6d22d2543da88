import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { fixturePath, runCommand } from './run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-hostile-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** What a terminal takes for a command, or what turns the order of letters round. */
const WEAPONS = [
  '\u001b[2J',
  '\u001b[31m',
  '\u001b[38;5;1m',
  '\u001b]0;title\u0007',
  '\u001b]52;c;cm0gLXJm\u001b\\',
  '\u001bP+q\u001b\\',
  '\u009b2J',
  '\u009d0;x\u009c',
  '\u0007',
  '\b\b\b',
  '\r',
  '\u007f',
  '\u0000',
  '\u202e',
  '\u2066',
  '\u200f',
  '\u2028',
  '\ud800',
  '\u{e0041}',
  '\nheki: all is well\n',
];
const hostile = fc
  .array(fc.oneof(fc.constantFrom(...WEAPONS), fc.string({ unit: 'binary', maxLength: 4 })), {
    minLength: 1,
    maxLength: 6,
  })
  .map((parts) => parts.join(''));

/** All that may come to a terminal beside signs: lines, and the colours of the command. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: sequences that colour begin with one
const OURS = /\u001b\[(?:[12]|22|3[1-6]|39)m|\n/g;

function expectHarmless(text: string): void {
  expect(text.replace(OURS, '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
}

let turn = 0;

/** Runs a command as a text and as JSON, on a terminal and on a pipe: with `every` each on both, otherwise one on either, in turn. */
async function expectHarmlessRuns(
  args: readonly string[],
  every: boolean,
  json: readonly string[] = ['--json'],
): Promise<void> {
  const [first, second] = turn++ % 2 === 0 ? [80, false] : [false, 80];
  for (const [options, terminal] of [
    [[], first],
    [json, second],
    ...(every
      ? ([
          [[], second],
          [json, first],
        ] as const)
      : []),
  ] as const) {
    const { stdout, stderr } = await runCommand([...args, ...options], { terminal });
    expectHarmless(stdout);
    expectHarmless(stderr);
    expect(stderr).not.toMatch(/internal error|^heki: all is well/m);
    expect(stdout).not.toMatch(/^heki: all is well/m);
    if (options.length > 0 && stdout !== '') JSON.parse(stdout);
  }
}

/** A dump with what stands beside it. */
function snapshot(sidecar: object): string {
  const path = join(scratch, 'guest.elf.gz');
  writeFileSync(path, readFileSync(fixturePath('k61-256-nokaslr')));
  writeFileSync(join(scratch, 'guest.json'), JSON.stringify(sidecar));
  return path;
}

/** What a terminal would obey must not come to it by any command: tries as many texts in each place as `runs` says, in `every` way or some. */
export function describeHostileText(runs: {
  readonly costly: number;
  readonly cheap: number;
  readonly every: boolean;
}): void {
  const expectHarmlessly = (args: readonly string[], json?: readonly string[]): Promise<void> =>
    expectHarmlessRuns(args, runs.every, json);

  describe('a terminal is not made to obey', () => {
    test('by the command line and the release of a guest', async () => {
      await fc.assert(
        fc.asyncProperty(hostile, hostile, async (kernel, cmdline) => {
          const path = snapshot({ kernel, cmdline });
          await expectHarmlessly(['protect', path]);
          await expectHarmlessly(['audit', path, '--no-heki']);
        }),
        { numRuns: runs.costly },
      );
    });

    test('by the lines of a memory map, and the symbols beside a dump', async () => {
      await fc.assert(
        fc.asyncProperty(hostile, async (text) => {
          const path = snapshot({ iomem: [`00001000-0ffdffff : ${text}`], symbols: { [text]: '0x0' } });
          await expectHarmlessly(['protect', path]);
          const out = join(scratch, 'small.elf.gz');
          await expectHarmlessly(['extract', path, '-o', out, '--force']);
          await expectHarmlessly(['translate', path, '0']);
        }),
        { numRuns: runs.costly },
      );
    });

    test('by the names in a scenario', async () => {
      const path = join(scratch, 'life.json');
      await fc.assert(
        fc.asyncProperty(hostile, async (name) => {
          const steps = [{ do: 'vfree', name }, { do: name }];
          for (const scenario of [
            { title: name, steps: steps.slice(0, 1) },
            { steps },
            { [name]: 1 },
            { include: [name] },
          ]) {
            writeFileSync(path, JSON.stringify({ machine: { memory: '64MiB' }, ...scenario }));
            await expectHarmlessly(['boot', '--scenario', path]);
          }
        }),
        { numRuns: runs.costly },
      );
    });

    test('by files that are not what they were taken for', async () => {
      const path = join(scratch, 'text');
      await fc.assert(
        fc.asyncProperty(hostile, async (text) => {
          for (const content of [text, `{"iomem": "${text}`, `[[${JSON.stringify({ cmd: text })}]]`]) {
            writeFileSync(path, content);
            await expectHarmlessly(['protect', '--memory-map', path]);
            await expectHarmlessly(['protect', '--kernel-config', path]);
            await expectHarmlessly(['boot', '--kernel', path]);
            await expectHarmlessly(['replay', path]);
            await expectHarmlessly(['walk', path], ['--format', 'json']);
          }
        }),
        { numRuns: runs.cheap },
      );
    });

    test('by the name of a file', async () => {
      await fc.assert(
        fc.asyncProperty(hostile, async (text) => {
          const name = Buffer.from(text.replaceAll('/', '').replaceAll('\0', '')).toString();
          const folder = join(scratch, `${name}.d`);
          mkdirSync(folder, { recursive: true });
          const path = join(folder, 'guest.elf.gz');
          await expectHarmlessly(['walk', path], ['--format', 'json']);
          await expectHarmlessly(['protect', folder]);
          const file = join(scratch, `${name}.elf.gz`);
          writeFileSync(file, readFileSync(fixturePath('k61-256-nokaslr')));
          await expectHarmlessly(['translate', file, 'ffffffff81000000']);
          await expectHarmlessly(['extract', file, '-o', join(scratch, 'again.elf'), '--force']);
        }),
        { numRuns: runs.cheap },
      );
    });

    test('by the values of options', async () => {
      await fc.assert(
        fc.asyncProperty(hostile, async (text) => {
          const value = `x${text}`;
          for (const args of [
            [value],
            ['help', value],
            ['protect', '--cpu', value],
            ['protect', `--${value}`],
            ['protect', '--hypervisor', value],
            ['protect', '--defect', value],
            ['boot', '--memory', value],
            ['boot', '--vcpus', value],
            ['boot', '--workload', value],
            ['backends', value],
            ['kunit', '--suite', value],
            ['explain', value],
            ['translate', fixturePath('k61-256-nokaslr'), value],
          ]) {
            await expectHarmlessly(args);
          }
        }),
        { numRuns: runs.cheap },
      );
    });
  });
}
