import type { Capabilities } from '@heki/hypervisor';

/** What an attacker in the kernel can still do. */
export interface OpenWay {
  readonly id: 'remapping' | 'asking' | 'data-only' | 'execution' | 'writable-code' | 'not-in-force';
  /** One sentence for people, without a full stop. */
  readonly text: string;
}

/** What decides about it. */
export interface OpenWaySettings {
  readonly capabilities: Capabilities;
  readonly inForce: boolean;
  /** Pages that were sent and can be asked for again, and those that are writable and executable by their mappings. */
  readonly changeablePages: number;
  readonly writableCodePages: number;
  /** Whether HLAT translates what is protected, the processor could and does not, or it lacks HLAT (SDM Vol. 3, 4.5.1). */
  readonly hlat: 'on' | 'off' | 'lacking';
  /** Pages that the kernel may execute because the hypervisor cannot withhold it. */
  readonly unenforceablePages: number;
}

const REMAPPING = {
  on: 'remapping, of addresses that HLAT does not translate: they are led to another page that has the rights',
  off: 'remapping: an address of text or constants is led to another page that has the rights; rights of frames do not stop it, HLAT would, which the processor has and Heki does not use',
  lacking:
    'remapping: an address of text or constants is led to another page that has the rights; rights of frames do not stop it, HLAT would, which the processor lacks',
} as const satisfies Record<OpenWaySettings['hlat'], string>;

/** What stays open with Heki. */
export function openWays(settings: OpenWaySettings): OpenWay[] {
  const { capabilities, inForce, changeablePages, writableCodePages, unenforceablePages, hlat } = settings;
  if (!inForce) return [{ id: 'not-in-force', text: 'everything: nothing is enforced' }];
  const asks = capabilities.policyOwner === 'guest-kernel' && changeablePages > 0;
  const ways: (OpenWay | false)[] = [
    writableCodePages > 0 && {
      id: 'writable-code',
      text: `${pages(writableCodePages)} that mappings let the kernel write and execute together: Heki grants what mappings grant`,
    },
    unenforceablePages > 0 && {
      id: 'execution',
      text: `execution of ${pages(unenforceablePages)} of data, which the hypervisor cannot withhold from the kernel alone`,
    },
    {
      id: 'remapping',
      text: REMAPPING[hlat],
    },
    asks && {
      id: 'asking',
      text: `asking: who runs code in the kernel asks for other rights of ${pages(changeablePages)}, as the kernel itself does`,
    },
    {
      id: 'data-only',
      text: 'data: credentials, page tables of programs and whatever else the kernel may write',
    },
  ];
  return ways.filter((way) => way !== false);
}

function pages(count: number): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? 'page' : 'pages'}`;
}
