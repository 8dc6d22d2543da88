import { PageListEntryWord, pageListEntryWord, wordsToNumber } from '@heki/hypercall/kvm';
import { frameOf, type Gfn, type Gpa, type PhysicalMemory } from '@heki/physical-memory';
import type { ModelListPage } from './page-model.ts';

/** The pages of a list in the order of their chain, from their bytes, whatever the bytes claim. */
export function readRawList(memory: PhysicalMemory<Gfn>, list: Gpa): ModelListPage[] {
  const pages: ModelListPage[] = [];
  for (let at: Gpa = list; at !== 0; ) {
    const words = memory.page(frameOf(at));
    if (words === undefined) throw new Error(`no list page at ${at}`);
    const count = wordsToNumber(words, 4);
    const entries = Array.from({ length: Math.min(count, 169) }, (_, index) => {
      const word = pageListEntryWord(index);
      return {
        start: wordsToNumber(words, word + PageListEntryWord.PA) / 4096,
        end: wordsToNumber(words, word + PageListEntryWord.EPA) / 4096,
        permissions: wordsToNumber(words, word + PageListEntryWord.PERMISSIONS),
      };
    });
    pages.push({ entries, count });
    at = wordsToNumber(words, 2) as Gpa;
  }
  return pages;
}
