import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { infoTlb } from './info-tlb.ts';
import { ResultCounter, type VectorKind } from './kind.ts';
import { readJson, readLines } from './read.ts';
import { runVectors } from './run.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vectors-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function file(path: string, content: string | Uint8Array = ''): string {
  const absolute = join(folder, path);
  mkdirSync(dirname(absolute), { recursive: true });
  writeFileSync(absolute, content);
  return absolute;
}

/** Each line `yes` passes. */
const answers: VectorKind = {
  matches: (path) => /(?:^|\/)answers\/[^/]*\.txt(?:\.gz)?$/.test(path),
  run(path) {
    const result = new ResultCounter();
    for (const [index, line] of readLines(path).entries()) {
      result.count(line === 'yes', () => `line ${index + 1}: ${line}`);
    }
    return result;
  },
};

function run(directory = folder) {
  const lines: string[] = [];
  const totals = runVectors(directory, [answers, infoTlb], (line) => lines.push(...line.split('\n')));
  return { lines, totals };
}

describe('the vector runner', () => {
  it('finds files of its kinds at any depth and prints a line for each', () => {
    file('answers/b.txt', 'yes\nyes\n');
    file('deep/er/answers/a.txt.gz', gzipSync('yes\n'));
    expect(run()).toEqual({
      lines: ['answers/b.txt: 2 passed, 0 failed', 'deep/er/answers/a.txt.gz: 1 passed, 0 failed'],
      totals: { passed: 3, failed: 0, notRun: 0 },
    });
  });

  it('knows a kind by the name of the searched folder too', () => {
    file('answers/b.txt', 'yes\n');
    expect(run(join(folder, 'answers')).lines).toEqual(['b.txt: 1 passed, 0 failed']);
  });

  it('shows the first five differences in full', () => {
    file('answers/b.txt', 'a\nyes\nb\nc\nd\ne\nf\n');
    expect(run().lines).toEqual([
      'answers/b.txt: 1 passed, 6 failed',
      '  line 1: a',
      '  line 3: b',
      '  line 4: c',
      '  line 5: d',
      '  line 6: e',
    ]);
  });

  it('says of data of an unknown kind that it was not run, and of nothing else', () => {
    file('other/x.cases.txt.gz');
    file('other/x.answers.txt.gz');
    file('table.tsv');
    file('README.md');
    file('fixtures/k.elf.gz');
    file('fixtures/k.json');
    file('fixtures/k.ranges.txt');
    expect(run()).toEqual({
      lines: ['other/x.cases.txt.gz: not run', 'table.tsv: not run'],
      totals: { passed: 0, failed: 0, notRun: 2 },
    });
  });

  it('fails a file that is damaged or empty, with the reason and no stack', () => {
    const packed = gzipSync('yes\n'.repeat(100));
    file('answers/cut.txt.gz', packed.subarray(0, packed.length - 10));
    file('answers/empty.txt');
    file('lost.info-tlb.txt.gz', gzipSync(''));
    const { lines, totals } = run();
    expect(totals).toEqual({ passed: 0, failed: 3, notRun: 0 });
    expect(lines[1]).toBe(
      '  cannot be read as vectors of its kind: damaged gzip file: unexpected end of file',
    );
    expect(lines[3]).toBe('  the file holds no cases');
    expect(lines[5]).toMatch(/lost\.elf\.gz is missing/);
    expect(() => readJson(file('x.json', '{'))).toThrow('no valid JSON');
  });

  it('ends when links lead in circles', () => {
    file('answers/b.txt', 'yes\n');
    symlinkSync(folder, join(folder, 'again'));
    symlinkSync(join(folder, 'nowhere'), join(folder, 'broken'));
    expect(run().totals.passed).toBe(1);
  });
});

describe('the lines of info tlb', () => {
  const fixture = join(import.meta.dirname, '../../../fixtures/stage61-rest_init');

  it('differ one by one, a missing or extra line by itself', () => {
    const lines = readLines(`${fixture}.info-tlb.txt.gz`);
    lines[3] = lines[3]?.replace('X', '-') ?? '';
    lines.splice(1, 1);
    lines.push('ffffffffffffe000: 0000000000000000 ---------');
    copyFileSync(`${fixture}.elf.gz`, join(folder, 'k.elf.gz'));
    file('k.info-tlb.txt.gz', gzipSync(`${lines.join('\n')}\n`));
    expect(run()).toEqual({
      lines: [
        `k.info-tlb.txt.gz: ${lines.length - 2} passed, 3 failed`,
        '  expected no line',
        '  got      ffff888000001000: 0000000000001000 XG-DA---W',
        '  expected ffff888000003000: 0000000000003000 -G-DA---W',
        '  got      ffff888000003000: 0000000000003000 XG-DA---W',
        '  expected ffffffffffffe000: 0000000000000000 ---------',
        '  got      no line',
      ],
      totals: { passed: lines.length - 2, failed: 3, notRun: 0 },
    });
  });
});
