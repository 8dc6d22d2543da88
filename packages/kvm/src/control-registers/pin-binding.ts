/** The pins of one virtual CPU: whether each register is bound already. INIT unbinds them (B-H14). */
export interface PinBinding {
  cr0: boolean;
  cr4: boolean;
}
