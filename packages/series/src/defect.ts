/** What a defect is in the code of one layer. */
export interface DefectText {
  /** What a kernel, its attacker, a VMM or the host meets. */
  readonly happens: string;
  /** Where in the code it comes from. */
  readonly why: string;
  /** What `hardened` does at the same place. */
  readonly mend: string;
  /** What of it no model can show. */
  readonly notShown?: string;
}

/** A defect of one layer: one switch, which only that layer reads. */
export interface Defect extends DefectText {
  readonly title: string;
}

/** A defect that has its parts in several layers: still one switch, which each of them reads. */
export interface SharedDefect {
  readonly title: string;
  /** By package. */
  readonly parts: { readonly [packageName: string]: DefectText };
}

/** Defects by id, as each layer lists its own. */
export interface Defects {
  readonly [id: string]: Defect | SharedDefect;
}
