import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { Edits } from '@heki/inspector';
import { bytesSource } from '@heki/vmcore';
import { describe, expect, test } from 'vitest';
import { parseSidecar } from '../../sidecar.ts';
import { fixturePath } from '../../testing/run-command.ts';
import { openDumpSession } from './dump-session.ts';

const path = fixturePath('k61-256-nokaslr');
const text = readFileSync(path.replace(/\.elf\.gz$/, '.json'), 'utf8');
const session = openDumpSession([bytesSource(gunzipSync(readFileSync(path)))], {
  name: 'guest.elf.gz',
  sidecar: { parsed: parseSidecar(text, 'guest.json', 'guest.json'), text },
  tool: 'heki',
});
const found = (edits: Edits): string[] => session.audit(edits).findings.map(({ id }) => id);
const leafOf = (address: string) => {
  const { steps } = session.walk({ address, access: 'read', user: false, edits: {} });
  return steps.at(-1);
};

describe('the audit of a dump with edited entries', () => {
  test('is that of the dump where nothing was edited', () => {
    expect(session.audit({})).toEqual(session.opened.page);
    expect(found({})).not.toContain('heki/wx-mapping');
  });

  test('finds what an edited bit lets one do, and forgets it with the edit', () => {
    const leaf = leafOf('0xffffffff81000000');
    const edits = { [leaf?.address ?? '']: `0x${(BigInt(`0x${leaf?.value}`) | 2n).toString(16)}` };
    const { findings, verdict } = session.audit(edits);
    expect(findings[0]).toMatchObject({ id: 'heki/wx-mapping', severity: 'critical' });
    expect(verdict.fails).toBe(true);
    const rights = ({ stretches, kinds }: ReturnType<typeof session.virtualSide>) =>
      kinds[stretches.find(({ virtualFrame }) => virtualFrame === 0xffffffff81000)?.kind ?? -1]?.rights;
    expect(rights(session.virtualSide({}))).toBe('r-x');
    expect(rights(session.virtualSide(edits))).toBe('rwx');
    expect(found({})).not.toContain('heki/wx-mapping');
  });

  test("is refused where the tables are no kernel's any more", () => {
    const root = session.walk({ address: '0xffffffff81000000', access: 'read', user: false, edits: {} })
      .steps[0];
    expect(() => session.audit({ [root?.address ?? '']: '0x0' })).toThrow(
      /^guest\.elf\.gz: the root table at/,
    );
    // Beside memory, within an entry, of another machine's host, and behind what a number holds.
    for (const address of ['0xfffffffff000', '0x1a00004', 'h0x1000', '0xfffffffffffffff8']) {
      expect(() => session.audit({ [address]: '0x0' })).toThrow(
        `there is no entry at ${address} that could be edited`,
      );
    }
  });
});
