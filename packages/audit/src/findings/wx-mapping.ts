import type { FindingKind } from '../finding.ts';
import { occurrencesOf } from '../occurrence.ts';
import { Rights } from '../rights.ts';

const WX = Rights.WRITE | Rights.EXECUTE;

export const WX_MAPPING: FindingKind = {
  id: 'heki/wx-mapping',
  title: 'Writable and executable by one mapping',
  worst: 'critical',
  explanation:
    'A mapping lets the kernel write a page and run it at the same address: by R/W in every entry on the way and XD in none.',
  attack:
    'One arbitrary write is enough: the attacker writes instructions and has them run, without another step.',
  legitimate:
    'A kernel that is still booting (before mark_rodata_ro), one booted with rodata=off, one built without CONFIG_STRICT_KERNEL_RWX or CONFIG_STRICT_MODULE_RWX.',
  advice:
    'Boot without rodata=off, build with CONFIG_STRICT_KERNEL_RWX and CONFIG_STRICT_MODULE_RWX, and look at who made the mapping: /sys/kernel/debug/page_tables/kernel (CONFIG_PTDUMP_DEBUGFS), and CONFIG_DEBUG_WX at boot.',
  *find(kernel) {
    const extents = kernel.extents.filter(
      ({ rights: all, mappings }) => (all & WX) === WX && mappings.some(({ rights }) => (rights & WX) === WX),
    );
    yield* occurrencesOf(kernel, extents, ({ pagesText, places }) => ({
      severity: 'critical',
      summary: `${pagesText} can be written and executed at one address: ${places}.`,
    }));
  },
};
