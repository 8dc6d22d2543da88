import type { FindingKind } from '../finding.ts';
import type { Mapping } from '../mapping.ts';
import { framesOf, occurrenceOfMappings, pagesText } from '../occurrence.ts';
import { Rights } from '../rights.ts';

export const UNENCRYPTED: FindingKind = {
  id: 'heki/unencrypted',
  title: 'Code or constants are mapped without memory encryption',
  worst: 'high',
  explanation:
    "The guest's memory is encrypted (SME, SEV): entries of what is private have the C-bit. Entries for the kernel's code or constants, or those of modules, lack it.",
  attack:
    'What the kernel reads there as its own is what the host wrote: memory that is shared with it has no integrity.',
  legitimate: 'Nothing: of the image Linux shares .bss..decrypted alone, which is data.',
  advice: 'Find who cleared the bit (set_memory_decrypted), and compare the contents with the image.',
  *find(kernel) {
    const { encryptionBit } = kernel.tables;
    if (encryptionBit === undefined) return;
    // The C-bit is above bit 31.
    const bit = 2 ** (encryptionBit - 32);
    const shared = kernel.mappings.filter((one) => Math.floor(one.high / bit) % 2 === 0 && isPrivate(one));
    if (shared.length === 0) return;
    const summary = `${pagesText(framesOf(shared))} of code or constants are mapped without the C-bit, bit ${encryptionBit}.`;
    yield occurrenceOfMappings(kernel, shared, { severity: 'high', summary });
  },
};

function isPrivate({ region, rights }: Mapping): boolean {
  return (
    region === 'kernel text' ||
    region === 'kernel rodata' ||
    (region === 'modules' && (rights & Rights.WRITE) === 0)
  );
}
