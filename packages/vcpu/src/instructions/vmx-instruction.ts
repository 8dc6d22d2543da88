/** The hypercall instruction of VMX and that of SVM. */
export type HypercallInstruction = 'vmcall' | 'vmmcall';

/** The instructions of VMX beside VMCALL and VMFUNC. In a guest each of them exits, whatever the controls (SDM 3C 26.1.2). */
export type VmxInstruction =
  | 'invept'
  | 'invvpid'
  | 'vmclear'
  | 'vmlaunch'
  | 'vmptrld'
  | 'vmptrst'
  | 'vmread'
  | 'vmresume'
  | 'vmwrite'
  | 'vmxoff'
  | 'vmxon';
