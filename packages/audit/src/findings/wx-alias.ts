import type { FindingKind } from '../finding.ts';
import { isHypercallPage } from '../hypercall-page.ts';
import { occurrencesOf } from '../occurrence.ts';
import { Rights } from '../rights.ts';

const WX = Rights.WRITE | Rights.EXECUTE;

export const WX_ALIAS: FindingKind = {
  id: 'heki/wx-alias',
  title: 'Writable at one address, executable at another',
  worst: 'critical',
  explanation:
    'No mapping of the page is both writable and executable, but two together are: W^X is broken across aliases. Tools that judge each mapping alone do not see it.',
  attack:
    "The attacker writes through the one address, mostly that of the direct map, and the kernel's own code runs at the other is changed.",
  legitimate:
    "For a moment, while text_poke or a module loader writes code. No stock kernel leaves such pages behind: Linux takes the direct map's write permission when it makes text executable (cpa_process_alias). But for one: the hypercall page of a guest of Hyper-V, in vmalloc, over which the hypervisor lays a page of its own; it is told by its contents.",
  advice:
    'Find what set R/W in the direct map (set_memory_rw or a write to page tables), and treat the contents of the pages as changed until they were compared with the image.',
  *find(kernel) {
    const extents = kernel.extents.filter(
      ({ rights, mappings }) =>
        (rights & WX) === WX && !mappings.some((mapping) => (mapping.rights & WX) === WX),
    );
    const hypercall = extents.filter((extent) => isHypercallPage(kernel, extent));
    // A guest has one.
    const known = hypercall.length === 1 ? hypercall : [];
    for (const part of [known, extents.filter((extent) => !known.includes(extent))]) {
      const what = part === known ? ', with the contents of a hypercall page,' : '';
      yield* occurrencesOf(kernel, part, ({ pagesText, places }) => ({
        severity: part === known ? 'medium' : 'critical',
        summary: `${pagesText}${what} can be executed at one address and written at another: ${places}.`,
      }));
    }
  },
};
