import type { FindingKind } from '../finding.ts';
import { framesOf, occurrenceOfMappings, pagesText } from '../occurrence.ts';

export const IMAGE_REMAPPED: FindingKind = {
  id: 'heki/image-remapped',
  title: "An address of the kernel's image leads to a foreign frame",
  worst: 'critical',
  explanation:
    "The image is mapped in one piece: every address is as far from its frame as all others. This one leads elsewhere: the frame that holds the kernel's text or constants was exchanged for another.",
  attack:
    'Permissions of frames say nothing against it: the attacker edits one page-table entry, and the kernel runs or reads a page of his choice. Second-level permissions do not stop it either; HLAT exists for it.',
  legitimate: 'Nothing: Linux never maps parts of its image elsewhere.',
  advice:
    'Treat the guest as compromised. Compare the page that the address leads to with the one that belongs there.',
  *find(kernel) {
    const { distance } = kernel.sections;
    for (const [region, severity] of [
      ['kernel text', 'critical'],
      ['kernel rodata', 'critical'],
      ['kernel data', 'high'],
      // Linux clears what early boot mapped around the image (cleanup_highmap); freed parts of it may lie there.
      ['kernel image window', 'high'],
    ] as const) {
      const strayed = kernel.mappings.filter(
        (mapping) => mapping.region === region && mapping.virtualFrame - mapping.guestFrame !== distance,
      );
      if (strayed.length === 0) continue;
      const summary = `${pagesText(framesOf(strayed))} at addresses of the ${region.replace('kernel ', "kernel's ")} lead to other frames than the image has there.`;
      yield occurrenceOfMappings(kernel, strayed, { severity, summary });
    }
  },
};

export const DIRECT_MAP_REMAPPED: FindingKind = {
  id: 'heki/direct-map-remapped',
  title: 'An address of the direct map leads to a foreign frame',
  worst: 'high',
  explanation:
    'In the direct map every frame lies as far from its start as from physical address 0. This address leads to another frame.',
  attack:
    'Whatever the kernel believes to read or write through the direct map (page tables, slabs, page cache) is exchanged, without a change to any permission.',
  legitimate: 'Nothing: Linux removes mappings from the direct map, and never leads one elsewhere.',
  advice:
    'Treat the guest as compromised. Read both frames, the one that belongs there and the one that is there.',
  *find(kernel) {
    const { start } = kernel.tables.directMap;
    const strayed = kernel.mappings.filter(
      (mapping) => mapping.region === 'direct map' && mapping.virtualFrame - mapping.guestFrame !== start,
    );
    if (strayed.length === 0) return;
    const summary = `${pagesText(framesOf(strayed))} of the direct map lead to other frames than their own.`;
    yield occurrenceOfMappings(kernel, strayed, { severity: 'high', summary });
  },
};
