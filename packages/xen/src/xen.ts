import type { Hypervisor } from '@heki/hypervisor';
import { xenCapabilities } from './capabilities.ts';
import { createXenDomain } from './create-domain.ts';
import { describeEvent } from './describe.ts';
import type { XenDomain } from './domain.ts';
import type { XenEvent } from './event.ts';
import { resolveOptions, type XenOptions } from './options.ts';

/** Xen as a backend. */
export type Xen = Hypervisor<XenDomain, XenEvent>;

/**
 * Xen with mem_access, altp2m views and a monitor for Heki in another domain that decides by vm_event. *Unjudged*: no
 * running Xen and no test suite of its own was held against this model.
 *
 * @throws {HypervisorError} when a domain is created on a processor without EPT
 */
export function createXen(options: XenOptions = {}): Xen {
  const resolved = resolveOptions(options);
  const capabilities = xenCapabilities(resolved);
  return {
    name: 'xen',
    capabilities,
    processor: resolved.processor,
    createVirtualMachine: (machine) => createXenDomain(resolved, capabilities, machine),
    describe: describeEvent,
  };
}
