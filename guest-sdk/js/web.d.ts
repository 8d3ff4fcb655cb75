// The web APIs that the engine has in addition to the language, as far as plugins need them.

declare class TextEncoder {
  encode(text: string): Uint8Array;
}

declare class TextDecoder {
  decode(bytes: Uint8Array): string;
}
