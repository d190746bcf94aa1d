// LZ4's block functions (liblz4), as far as Compression uses them: blocks that may refer to the bytes before them.
#pragma once
#include <stdint.h>

/// The hash table of one encoder.
typedef struct clz4_encoder clz4_encoder;
/// A new encoder, or NULL when there is no memory.
clz4_encoder *clz4_encoder_make(void);
void clz4_encoder_free(clz4_encoder *encoder);
/// The most bytes that `size` bytes can become.
int clz4_bound(int size);
/// Compresses `size` bytes at `source` into `target`, which has room for clz4_bound(size); returns how many they became. What lies before
/// `source` must be what the encoder got before, as far back as it got it without a break.
int clz4_encode(clz4_encoder *encoder, const uint8_t *source, int size, uint8_t *target, int room);
/// Moves the last `size` bytes that the encoder got to `target`; what it gets next lies behind them.
void clz4_encoder_move(clz4_encoder *encoder, uint8_t *target, int size);
/// Decompresses a block behind the `history` bytes before `target`, of any origin; returns how many bytes it became, at most `room`, or a
/// negative number when it is no block.
int clz4_decode(const uint8_t *block, int size, uint8_t *target, int room, int history);
