/** What the page-fault handler asks of the function that runs. */
export interface FaultState {
  /** The access at hand has an entry in the exception table. */
  hasFixup: boolean;
}
