#include "CLZ4.h"
#include <lz4.h>

clz4_encoder *clz4_encoder_make(void) { return (clz4_encoder *)LZ4_createStream(); }

void clz4_encoder_free(clz4_encoder *encoder) { LZ4_freeStream((LZ4_stream_t *)encoder); }

int clz4_bound(int size) { return LZ4_compressBound(size); }

int clz4_encode(clz4_encoder *encoder, const uint8_t *source, int size, uint8_t *target, int room) {
  return LZ4_compress_fast_continue((LZ4_stream_t *)encoder, (const char *)source, (char *)target, size, room, 1);
}

void clz4_encoder_move(clz4_encoder *encoder, uint8_t *target, int size) {
  LZ4_saveDict((LZ4_stream_t *)encoder, (char *)target, size);
}

int clz4_decode(const uint8_t *block, int size, uint8_t *target, int room, int history) {
  return LZ4_decompress_safe_usingDict((const char *)block, (char *)target, size, room, (const char *)target - history, history);
}
