import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KunitError } from '../error.ts';
import { type ParsedTest, parseKtap } from '../testing/ktap-parser.ts';
import { createKtapWriter, type KtapStatus } from './ktap-writer.ts';

function written(write: (writer: ReturnType<typeof createKtapWriter>) => void): string[] {
  const lines: string[] = [];
  write(createKtapWriter((line) => lines.push(line)));
  return lines;
}

describe('the KTAP writer', () => {
  test('writes groups, results, diagnostics and totals as KUnit does', () => {
    const lines = written((writer) => {
      writer.begin(1);
      writer.beginGroup('heki', 3);
      writer.result('first', 'ok');
      writer.diagnostic('first line\nsecond line');
      writer.result('second', 'not ok');
      writer.result('third', 'skip', 'no hypervisor');
      writer.endGroup();
    });
    expect(lines).toEqual([
      'KTAP version 1',
      '1..1',
      '    KTAP version 1',
      '    # Subtest: heki',
      '    1..3',
      '    ok 1 first',
      '    # first line',
      '    # second line',
      '    not ok 2 second',
      '    ok 3 third # SKIP no hypervisor',
      '# heki: pass:1 fail:1 skip:1 total:3',
      '# Totals: pass:1 fail:1 skip:1 total:3',
      'not ok 1 heki',
    ]);
  });

  test('keeps to what it announced', () => {
    const begun = () => {
      const writer = createKtapWriter(() => {});
      writer.begin(1);
      return writer;
    };
    expect(() => createKtapWriter(() => {}).result('x', 'ok')).toThrow(KunitError);
    expect(() => begun().begin(1)).toThrow(KunitError);
    expect(() => begun().endGroup()).toThrow(KunitError);
    expect(() => {
      const writer = begun();
      writer.result('one', 'ok');
      writer.result('two', 'ok');
    }).toThrow('expected no more');
    expect(() => {
      const writer = begun();
      writer.beginGroup('group', 2);
      writer.result('one', 'ok');
      writer.endGroup();
    }).toThrow('1 results in group group: expected 2');
  });

  interface Tree {
    readonly name: string;
    readonly status: KtapStatus;
    readonly reason: string;
    readonly diagnostics: readonly string[];
    readonly tests: readonly Tree[] | undefined;
  }
  const text = fc.string({ unit: 'binary', maxLength: 12 });
  const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
    tree: fc.record({
      name: text,
      status: fc.constantFrom<KtapStatus>('ok', 'not ok', 'skip'),
      reason: text,
      diagnostics: fc.array(text, { maxLength: 2 }),
      tests: fc.option(fc.array(tie('tree'), { minLength: 1, maxLength: 3, depthIdentifier: 'tree' }), {
        nil: undefined,
        maxDepth: 3,
        depthIdentifier: 'tree',
      }),
    }),
  }));

  test('writes what a reader of KTAP finds again, whatever names and reasons are', () => {
    const write = (writer: ReturnType<typeof createKtapWriter>, one: Tree): void => {
      if (one.tests === undefined) {
        for (const line of one.diagnostics) writer.diagnostic(line);
        writer.result(one.name, one.status, one.reason);
        return;
      }
      writer.beginGroup(one.name, one.tests.length);
      for (const inner of one.tests) write(writer, inner);
      writer.endGroup();
    };
    /** The status that a group must have by its tests. */
    const status = ({ status: own, tests }: Tree): KtapStatus => {
      if (tests === undefined) return own;
      const inner = tests.map(status);
      if (inner.includes('not ok')) return 'not ok';
      return inner.includes('ok') ? 'ok' : 'skip';
    };
    const same = (found: readonly ParsedTest[], expected: readonly Tree[]): void => {
      expect(found.map((one) => one.status)).toEqual(expected.map(status));
      for (const [index, one] of expected.entries()) {
        const parsed = found[index];
        if (parsed === undefined || (parsed.tests === undefined) !== (one.tests === undefined)) {
          throw new Error(`test ${index + 1} is of another kind`);
        }
        if (one.tests === undefined) continue;
        same(parsed.tests ?? [], one.tests);
      }
    };
    fc.assert(
      fc.property(fc.array(tree, { maxLength: 3 }), (trees) => {
        const lines = written((writer) => {
          writer.begin(trees.length);
          for (const one of trees) write(writer, one);
        });
        same(parseKtap(lines), trees);
      }),
      { numRuns: 200 },
    );
  });
});
