import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { frameOf, type Gfn, gpa } from '@heki/physical-memory';
import { openVmcore } from '@heki/vmcore/node';
import { ResultCounter, type VectorKind } from './kind.ts';
import { readJson } from './read.ts';
import { createRecordingGuest, type ListPages, listDifference } from './recording-guest.ts';

/** What the published core sends for a real kernel. */
interface PageListVector {
  readonly fixture: string;
  /** Hex with `0x`. */
  readonly cr3: string;
  readonly la57: boolean;
  /** Hex with `0x`: frames from here on are not memory. */
  readonly pfnLimit: string;
  readonly pageList: ListPages;
}

/** Page lists for the cores in a folder `fixtures`, beside a folder above the file: one case is one kernel. */
export const pageLists: VectorKind = {
  matches: (path) => /(?:^|\/)page-lists\/[^/]+\.json$/.test(path),
  run(path) {
    const { fixture, cr3, la57, pfnLimit, pageList } = readJson(path) as PageListVector;
    const core = openVmcore(findFixture(dirname(path), `${fixture}.elf.gz`));
    try {
      const { guest, takeLists } = createRecordingGuest({
        memory: core.memory,
        root: frameOf(gpa(Number.parseInt(cr3, 16))),
        levels: la57 ? 5 : 4,
        validFrames: [{ start: 0 as Gfn, end: Number.parseInt(pfnLimit, 16) as Gfn }],
      });
      guest.lateInit();
      const [list, ...more] = takeLists();
      const result = new ResultCounter();
      result.count(more.length === 0 && JSON.stringify(list) === JSON.stringify(pageList), () =>
        listDifference(pageList, list),
      );
      return result;
    } finally {
      core.close();
    }
  },
};

/** The file `name` in a folder `fixtures` of `directory` or of a folder above it. @throws {Error} when there is none */
function findFixture(directory: string, name: string): string {
  for (let folder = directory; ; folder = dirname(folder)) {
    const path = join(folder, 'fixtures', name);
    if (existsSync(path)) return path;
    if (folder === dirname(folder)) {
      throw new Error(`${name} is missing: expected it in a folder "fixtures" beside that of the vectors`);
    }
  }
}
