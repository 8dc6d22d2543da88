import { type VmEventDetail, xenAccessText } from '@heki/hypercall/xen';
import { describeHypervisorEvent } from '@heki/hypervisor';
import { hex } from '@heki/physical-memory';
import type { XenEvent } from './event.ts';

function detailText(detail: VmEventDetail): string {
  switch (detail.reason) {
    case 'mem-access': {
      const wanted = ['r', 'w', 'x'].filter((_, bit) => (detail.flags & (1 << bit)) !== 0).join('');
      return `MEM_ACCESS ${wanted} of gfn ${hex(detail.frame)}+${hex(detail.offset)}`;
    }
    case 'write-ctrlreg':
      return `WRITE_CTRLREG ${['CR0', 'CR3', 'CR4', 'XCR0'][detail.index] ?? detail.index}: ${hex(detail.old)} to ${hex(detail.value)}`;
    case 'mov-to-msr':
      return `MOV_TO_MSR ${hex(detail.msr)}: ${hex(detail.old)} to ${hex(detail.value)}`;
    case 'guest-request':
      return 'GUEST_REQUEST';
    case 'descriptor-access':
      return `DESCRIPTOR_ACCESS ${['', 'IDTR', 'GDTR', 'LDTR', 'TR'][detail.descriptor] ?? detail.descriptor}`;
  }
}

/** An event as one line of a trace. */
export function describeEvent(event: XenEvent): string {
  switch (event.type) {
    case 'vm-event':
      return `vm_event of vCPU ${event.event.vcpu}: ${detailText(event.event.detail)}`;
    case 'vm-event-reply':
      return `reply to vCPU ${event.event.vcpu}, flags ${hex(event.event.flags)}`;
    case 'paused':
      return `vCPU ${event.vcpu} waits: ${event.because === 'ring-full' ? 'the ring is full' : 'the monitor has not replied'}`;
    case 'access-set':
      return `access ${xenAccessText(event.access)} for gfns ${hex(event.start)}-${hex(event.end)} in view ${event.view}: ${event.pages} pages`;
    case 'view-switched':
      return `vCPU ${event.vcpu} goes on in view ${event.view}`;
    case 'propagated':
      return `gfn ${hex(event.gfn)} copied into view ${event.view}`;
    default:
      return describeHypervisorEvent(event, 'the monitor');
  }
}
