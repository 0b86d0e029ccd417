// y = x, converted to y's dtype, four elements an invocation.
if (flat_id * 4u >= count) return;
y_store4(flat_id, x_load4(flat_id));
