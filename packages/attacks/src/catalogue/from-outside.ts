import { addressOf, type Gpa } from '@heki/physical-memory';
import type { LabAttack } from '../attack/lab-attack.ts';
import type { Lab } from '../attacker/lab.ts';
import { PAYLOAD } from '../kernel/functions.ts';
import { executable, offset, writable } from './stores.ts';

/** Where a byte of the kernel lies. */
const gpaOf = (lab: Lab, va: typeof lab.places.check): Gpa =>
  (addressOf(lab.frameOf(va)) + Number(va % 4096n)) as Gpa;

/** Stores that come from no instruction of the kernel, and what the VMM can do. */
export const FROM_OUTSIDE: readonly LabAttack[] = [
  {
    name: 'dma-to-text',
    title: 'have a device write into kernel text by DMA',
    gains: 'a function of the kernel is replaced',
    source: 'R. Edgecombe and S. Christopherson on Heki v1 (B-H12)',
    means: ['device'],
    stoppedBy: ['iommu'],
    run(lab) {
      lab.aims.bytes('kernel text', lab.places.check, PAYLOAD.length);
      lab.dma(gpaOf(lab, lab.places.check), PAYLOAD);
    },
  },
  {
    name: 'hypervisor-store-to-text',
    title: 'name kernel text as the place where the hypervisor stores a result',
    gains: 'a function of the kernel is changed by a confused deputy',
    source: 'R. Edgecombe on Heki v1 (B-H12); N. Saenz Julienne, 2024',
    means: ['hypercalls'],
    stoppedBy: ['host-writes'],
    run(lab) {
      lab.aims.bytes('kernel text', lab.places.check, PAYLOAD.length);
      lab.hypervisorStore(gpaOf(lab, lab.places.check), PAYLOAD);
    },
  },
  {
    name: 'vmm-store-to-text',
    title: 'the VMM stores into kernel text',
    gains: 'a function of the kernel is replaced: the VMM is trusted',
    source: 'Heki v2 00/19: the host is in the TCB (B-H12)',
    means: ['VMM'],
    stoppedBy: [],
    run(lab) {
      lab.aims.bytes('kernel text', lab.places.check, PAYLOAD.length);
      lab.vmm.write(gpaOf(lab, lab.places.check), PAYLOAD);
    },
  },
  {
    name: 'second-memslot',
    title: 'memory appears a second time under another guest address, with the same host frame: store there',
    gains: 'a function of the kernel is replaced, by a page with other rights',
    source: 'KVM: rights belong to guest frames, and two memslots may have one backing (B-ALIAS)',
    means: ['VMM'],
    stoppedBy: ['write'],
    run(lab) {
      const { check } = lab.places;
      const frame = lab.frameOf(check);
      const page = lab.page();
      lab.aims.bytes('kernel text', check, PAYLOAD.length);
      lab.pointAt(page, lab.vmm.mapAgain(frame));
      lab.plant(offset(page, Number(check % 4096n)));
    },
  },
  {
    name: 'execute-second-memslot',
    title: 'memory appears a second time under another guest address: execute data there',
    gains: 'code of the attacker runs as the kernel, on a page for which no request was made',
    source: 'KVM: rights belong to guest frames, and two memslots may have one backing (B-ALIAS, B-H7)',
    means: ['VMM'],
    stoppedBy: ['execute'],
    run(lab) {
      const data = lab.page();
      const page = lab.page();
      lab.aims.code();
      lab.plant(data);
      lab.pointAt(page, lab.vmm.mapAgain(lab.frameOf(data)));
      lab.edit(page, executable);
      lab.cpu.run(page);
    },
  },
  {
    name: 'recreate-memslot',
    title:
      'the memslot of kernel memory goes and comes back, then store to text, and to the IDT among pages of data',
    gains: 'a function of the kernel is replaced, or exceptions go to the attacker',
    source: 'S. Christopherson on Heki v1; B-H10: which large pages have mixed rights is forgotten',
    means: ['VMM'],
    stoppedBy: ['write'],
    run(lab) {
      const { check, idt } = lab.places;
      lab.aims.bytes('kernel text', check, PAYLOAD.length);
      lab.aims.bytes('the IDT', idt, PAYLOAD.length);
      lab.vmm.recreate(lab.frameOf(check));
      for (const target of [check, idt]) {
        lab.edit(target, writable);
        lab.plant(target);
      }
    },
  },
  {
    name: 'replace-host-frame',
    title: 'the VMM puts another host frame behind kernel text',
    gains: 'a check of the kernel says yes: rights follow the guest frame, contents do not',
    source: 'pKVM and guest_memfd own frames; KVM does not',
    means: ['VMM'],
    stoppedBy: [],
    run(lab) {
      const { check, allow } = lab.places;
      lab.aims.result('security_capable', check);
      lab.vmm.replaceFrame(lab.frameOf(check), lab.frameOf(allow));
    },
  },
  {
    name: 'roll-back-protection',
    title: 'the VMM restores what was enforced before the kernel booted, then store to text',
    gains: 'nothing is protected, and the kernel does not know',
    source: 'rollback of virtual machines; Heki v2 has no freshness (B-H14)',
    means: ['VMM'],
    stoppedBy: [],
    run(lab) {
      const { check } = lab.places;
      lab.aims.bytes('kernel text', check, PAYLOAD.length);
      lab.vmm.rollBack();
      lab.edit(check, writable);
      lab.plant(check);
    },
  },
];
