import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Figures, figuresOf, mutantText, type Result } from './result.ts';
import { TARGETS } from './targets.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const USAGE = `usage: pnpm mutants [--sample N] [--minutes N] [PACKAGE...]
Breaks lines of a package one at a time, in a copy, and tells which the package's own tests do not miss: by default 300 mutants and 20
minutes a package, always the same ones. Without PACKAGE it takes ${TARGETS.map(({ name }) => name).join(', ')}.`;

/** Runs what the command line asks for; the exit code. */
async function main(args: string[]): Promise<number> {
  const options = { sample: { type: 'string' }, minutes: { type: 'string' } } as const;
  let parsed: ReturnType<typeof parseArgs<{ options: typeof options; allowPositionals: true }>>;
  try {
    parsed = parseArgs({ args, options, allowPositionals: true });
  } catch {
    console.error(USAGE);
    return 2;
  }
  const { values, positionals } = parsed;
  const [size, minutes] = [Number(values.sample ?? 300), Number(values.minutes ?? 20)];
  const unknown = positionals.filter((name) => !TARGETS.some((target) => target.name === name));
  if (unknown.length > 0 || !(size >= 1) || !(minutes > 0)) {
    console.error(USAGE);
    return 2;
  }
  let failed = false;
  for (const { name } of TARGETS) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const figures = await testTarget(name, size, minutes);
    if (figures === undefined) {
      console.log(`${name}: no mutant was tested`);
      failed = true;
      continue;
    }
    const { all, killed, timedOut, survivors } = figures;
    for (const mutant of [...timedOut, ...survivors]) console.log(mutantText(mutant));
    const tested = killed + survivors.length;
    const percent = ((100 * killed) / tested).toFixed(0);
    const late = timedOut.length === 0 ? '' : `, ${timedOut.length} more ran out of time`;
    console.log(`${name}: ${killed} of ${tested} killed (${percent}%)${late}, of ${all} mutants`);
  }
  return failed ? 1 : 0;
}

async function testTarget(name: string, size: number, minutes: number): Promise<Figures | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'mutants-'));
  const path = join(folder, 'results');
  try {
    const program = fileURLToPath(new URL('test-target.js', import.meta.url));
    const child = spawn(process.execPath, [program, name, String(size), path], {
      cwd: ROOT,
      // A group of its own, which ends with the time.
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const end = (): void => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    };
    process.once('SIGINT', end);
    const timer = setTimeout(end, minutes * 60_000);
    const code = await new Promise((resolve) => child.once('exit', resolve));
    clearTimeout(timer);
    process.off('SIGINT', end);
    if (!existsSync(path)) return undefined;
    const [all, ...lines] = readFileSync(path, 'utf8').split('\n');
    const results = lines
      .filter((line) => line !== '')
      .map((line): Result => {
        const result: Result = JSON.parse(line);
        return { ...result, fileName: relative(ROOT, result.fileName) };
      });
    const figures = figuresOf(results, Number(all), code === 0);
    return figures.killed + figures.survivors.length === 0 ? undefined : figures;
  } finally {
    rmSync(folder, { recursive: true });
    rmSync(join(ROOT, '.mutants'), { recursive: true, force: true });
  }
}

process.exitCode = await main(process.argv.slice(2));
