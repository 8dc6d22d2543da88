import type { ComparedModule, ComparedPart, ComparedText, Unexplained } from '@heki/patch-sites';
import { describe, expect, test } from 'vitest';
import { auditKernel } from '../index.ts';
import { tamperedKernel } from '../testing/tampered-kernel.ts';

/** Where the text of the fixture begins, as a signed number; its constants are 16 MiB behind. */
const TEXT = -0x7f00_0000;
const RODATA = TEXT + 0x100_0000;

const part = (start: number, unexplained: readonly Unexplained[]): ComparedPart => ({
  range: { start, end: start + 0x10_0000 },
  compared: 0x10_0000,
  differing: 10,
  explained: new Map([['ftrace', 4]]),
  unexplained,
});
const run = (start: number, bytes: number, at: Unexplained['at'] = undefined): Unexplained => ({
  start,
  end: start + bytes,
  at,
  value: '90'.repeat(bytes),
});

function found(
  text: readonly Unexplained[],
  constants: readonly Unexplained[] = [],
  probed: readonly number[] = [],
  led: Partial<ComparedText> = {},
  modules: readonly ComparedModule[] = [],
) {
  const kernel = tamperedKernel('k61-256-nokaslr');
  const contents = {
    text: { ...part(TEXT, text), probed, traced: [], tracedByBpf: 0, updatedStaticCalls: [], ...led },
    constants: part(RODATA, constants),
    modules,
  };
  const symbolAt = () => 'vfs_read+0x10';
  return auditKernel({ ...kernel.subject(), contents, symbolAt }).findings.filter(({ id }) =>
    /differs?$|kprobe|traced|static-call/.test(id),
  );
}

describe('bytes that differ from the image', () => {
  test('where nothing is patched, or with what no site ever holds, are high, with their frames and every mapping of these', () => {
    const [finding, ...others] = found([run(TEXT + 0x2010, 5), run(TEXT + 0x5ffe, 4, 'ftrace')]);
    expect(others).toEqual([]);
    expect(finding).toMatchObject({
      id: 'heki/code-differs',
      severity: 'high',
      summary:
        '9 bytes of code differ from the image and nothing explains it: vfs_read+0x10 (5 bytes), vfs_read+0x10 (4 bytes, at a site of kind ftrace).',
      pages: 3,
      fingerprint:
        'heki/code-differs|image+0x2010..image+0x2015 9090909090, image+0x5ffe..image+0x6002 90909090',
    });
    expect(finding?.aliases.map(({ region, symbol }) => [region, symbol])).toEqual([
      ['direct map', undefined],
      ['direct map', undefined],
      ['kernel text', 'vfs_read+0x10'],
      ['kernel text', 'vfs_read+0x10'],
    ]);
  });

  test('give another fingerprint when another value stands there', () => {
    const one = run(TEXT, 3, 'alternative');
    const prints = [one, { ...one, value: 'cccccc' }].map((each) => found([each])[0]?.fingerprint);
    expect(new Set(prints).size).toBe(2);
  });

  test('of constants are high', () => {
    expect(found([], [run(RODATA + 0x100, 8)])).toMatchObject([
      { id: 'heki/constants-differ', severity: 'high', pages: 1 },
    ]);
  });

  test('give another fingerprint when there is one more of them', () => {
    const runs = Array.from({ length: 70 }, (_, index) => run(TEXT + index * 0x100, 1));
    const one = found(runs)[0]?.fingerprint;
    expect(found([...runs, run(TEXT + 0x8000, 1)])[0]?.fingerprint).not.toBe(one);
  });

  test('are not there where all is explained', () => {
    expect(found([])).toEqual([]);
  });
});

test('a module that differs from its file is a finding of its own, high, with its sections and bytes', () => {
  const start = -0x4000_0000;
  const change = {
    ...run(start + 0x10, 2),
    section: { name: '.text', start },
    isCode: true,
  };
  const modules = [
    { name: 'sound', compared: 4096, differing: 0, unexplained: [] },
    { name: 'hooked', compared: 4096, differing: 2, unexplained: [change] },
  ];
  const [finding, ...others] = found([], [], [], {}, modules);
  expect(others).toEqual([]);
  expect(finding).toMatchObject({
    id: 'heki/code-differs',
    severity: 'high',
    summary: '2 bytes of the module hooked differ from its file and nothing explains it: vfs_read+0x10.',
    pages: 1,
    fingerprint: 'heki/code-differs|hooked .text+0x10..+0x12 9090',
  });
});

test('kprobes are a finding of their own, with their places', () => {
  expect(found([], [], [TEXT + 0x2010, TEXT + 0x5000])).toMatchObject([
    {
      id: 'heki/kprobe',
      severity: 'medium',
      summary: '2 kprobes are registered in the code: vfs_read+0x10, vfs_read+0x10.',
      pages: 2,
      fingerprint: 'heki/kprobe|image+0x2010, image+0x5000',
    },
  ]);
});

test('traced functions are low when eBPF alone traces them, medium when something else does', () => {
  const traced = [TEXT + 0x2010, TEXT + 0x5000];
  expect(found([], [], [], { traced, tracedByBpf: 2 })).toMatchObject([
    { id: 'heki/function-traced', severity: 'low', pages: 2 },
  ]);
  expect(found([], [], [], { traced, tracedByBpf: 1 })).toMatchObject([{ severity: 'medium' }]);
});

test('static calls that were led out of the image are medium, those within it information', () => {
  const updatedStaticCalls = [
    { name: 'cond_resched', leadsTo: '__cond_resched' },
    { name: 'perf', leadsTo: undefined },
  ];
  expect(found([], [], [], { updatedStaticCalls })).toMatchObject([
    {
      id: 'heki/static-call-updated',
      severity: 'medium',
      summary: '1 static call leads out of the image: perf.',
    },
    { severity: 'info', fingerprint: 'heki/static-call-updated|cond_resched to __cond_resched' },
  ]);
});
